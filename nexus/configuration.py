"""What the JSON files of a bundle may say: they describe, and never name code to run.

transformers and PEFT import what some fields name; such fields are refused wherever they stand. A
backbone is of a family in a fixed list, in a quantisation that is known, of a size that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nexus.strict_json import parse_json
from nexus.tokenizer_file import check_tokenizer

# Fields by which the libraries are led to import something: a class in a file or a repository
# (auto_map, custom_pipelines, custom_generate), any module (auto_mapping, megatron_config), a
# compiled kernel from a hub (the implementations).
NAMING_CODE = frozenset(
    {
        "auto_map",
        "auto_mapping",
        "custom_pipelines",
        "custom_generate",
        "megatron_config",
        "attn_implementation",
        "_attn_implementation",
        "experts_implementation",
        "_experts_implementation",
    }
)
# Decoders of text whose code is transformers' own, by their `model_type`.
# fmt: off
FAMILIES = frozenset({
    "apertus", "arcee", "bloom", "codegen", "cohere", "cohere2", "exaone4", "falcon", "gemma",
    "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj",
    "granite", "granitemoe", "helium", "llama", "ministral", "ministral3", "mistral", "mixtral",
    "mpt", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "openai-gpt", "opt", "persimmon", "phi",
    "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm",
    "starcoder2", "xglm",
})
# fmt: on
QUANTISATIONS = ("none", "int8", "nf4")
# Modules are made one by one, as many as these fields say.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_EXPERTS = ("num_experts", "num_local_experts")
MOST_LAYERS = 1000
MOST_EXPERTS = 512
_BITSANDBYTES = frozenset(
    {
        "quant_method",
        "load_in_8bit",
        "load_in_4bit",
        "llm_int8_threshold",
        "llm_int8_skip_modules",
        "llm_int8_has_fp16_weight",
        "llm_int8_enable_fp32_cpu_offload",
        "bnb_4bit_quant_type",
        "bnb_4bit_use_double_quant",
        "bnb_4bit_compute_dtype",
        "bnb_4bit_quant_storage",
    }
)


def check_description(path: str, content: bytes | bytearray, quantization: str) -> None:
    """Refuse a JSON file of a bundle that says what it must not, by where it stands.

    quantization: the manifest's. Reports at the top of a bundle are for people and are not opened.
    Raises ValueError.
    """
    if path == "tokenizer/tokenizer.json":
        check_tokenizer(content)
    elif path == "backbone/config.json":
        stored = quantisation_of(parse_configuration(content))
        if stored != quantization:
            raise ValueError(f"it is of weights in {stored}, and the manifest says {quantization}")
    elif path == "backbone/model.safetensors.index.json":
        check_index(content, "backbone.safetensors")
    elif path.startswith("adapters/"):
        parse_lora(content)
    elif "/" in path:
        parse_description(content)


def parse_description(content: bytes | bytearray) -> dict[str, Any]:
    """A JSON file of a bundle as a mapping. Raises ValueError where it is none, or names code."""
    described = parse_json(content)
    if not isinstance(described, dict):
        raise ValueError("it is no mapping")
    for name, value in _fields(described):
        # A vocabulary may have any word, with a number behind it.
        if name in NAMING_CODE and value is not None and not isinstance(value, int | float):
            raise ValueError(f"it names code to run ({name}); a bundle is data and brings none")
    return described


def parse_configuration(content: bytes | bytearray) -> dict[str, Any]:
    """The backbone's config.json. Raises ValueError where nexus would not open what it describes.

    Says what the file holds, and not that the weights are those it describes.
    """
    config = parse_description(content)
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"model_type {str(family)[:40]!r} is no family of decoders known here")
    quantisation_of(config)
    for names, most in ((_LAYERS, MOST_LAYERS), (_EXPERTS, MOST_EXPERTS)):
        for name in names:
            if not _is_count(config.get(name, 1), most):
                raise ValueError(f"{name} is no whole number from 1 to {most}")
    _check_attention_types(config.get("attention_types"))
    return config


def quantisation_of(config: Mapping[str, Any]) -> str:
    """`none`, `int8` or `nf4`, as config.json says. Raises ValueError where it is another."""
    about = config.get("quantization_config")
    if about is None:
        return "none"
    if not isinstance(about, dict) or about.get("quant_method") != "bitsandbytes":
        raise ValueError("its quantization_config is not one of bitsandbytes, int8 or nf4")
    if unknown := sorted(about.keys() - _BITSANDBYTES):
        raise ValueError(f"its quantization_config has an unknown field {unknown[0][:40]!r}")
    eight, four = about.get("load_in_8bit"), about.get("load_in_4bit")
    if eight is True and four is not True:
        return "int8"
    if four is True and eight is not True and about.get("bnb_4bit_quant_type") == "nf4":
        return "nf4"
    raise ValueError("its quantization_config is neither int8 nor nf4")


def check_index(content: bytes | bytearray, weights: str) -> None:
    """Refuse an index that leads to any file but `weights`. Raises ValueError."""
    places = parse_description(content).get("weight_map")
    if not isinstance(places, dict) or not set(map(str, places.values())) <= {weights}:
        raise ValueError(f"its weight_map leads to another file than {weights}")


def parse_lora(content: bytes | bytearray) -> dict[str, Any]:
    """An adapter's PEFT configuration. Raises ValueError where it is not of a plain LoRA."""
    config = parse_description(content)
    if config.get("peft_type", "LORA") != "LORA":
        raise ValueError(f"peft_type is {str(config['peft_type'])[:40]!r}, not LORA")
    return config


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of every mapping within, with its value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from each.items()
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _check_attention_types(value: Any) -> None:
    """GPT-Neo's kinds of attention, each with how often it is repeated: [[[kind, ...], 12]]."""
    if value is None:
        return
    plain = isinstance(value, list) and all(
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], list)
        and _is_count(item[1], MOST_LAYERS)
        for item in value
    )
    if not plain or sum(len(kinds) * count for kinds, count in value) > MOST_LAYERS:
        raise ValueError(f"attention_types is no list of kinds for at most {MOST_LAYERS} layers")
