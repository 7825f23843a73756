"""Stock Hugging Face decoders by family name, with freshly drawn weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_utils import PreTrainedModel

POSITIONS = 1024


@dataclass(frozen=True)
class Shape:
    """Widths and depth of a decoder, in the words of its configuration."""

    family: str
    hidden: int
    layers: int
    heads: int
    intermediate: int
    kv_heads: int | None = None


def decoder_config(shape: Shape, vocabulary: int, end: int, padding: int) -> PreTrainedConfig:
    """A configuration of the named family; embedding and head are untied.

    Raises ValueError for a family that is not known here, or heads that do not divide the width.
    """
    if shape.hidden % shape.heads:
        raise ValueError(f"heads: {shape.heads} does not divide the width {shape.hidden}")
    names = {"eos_token_id": end, "pad_token_id": padding, "bos_token_id": None}
    if shape.family == "gpt2":
        return GPT2Config(
            vocab_size=vocabulary,
            n_positions=POSITIONS,
            n_embd=shape.hidden,
            n_layer=shape.layers,
            n_head=shape.heads,
            n_inner=shape.intermediate,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            **names,
        )
    configs = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
    if shape.family not in configs:
        known = ", ".join(["gpt2", *configs])
        raise ValueError(f"family: {shape.family!r} is not one of {known}")
    extra = {"head_dim": shape.hidden // shape.heads} if shape.family == "qwen3" else {}
    return configs[shape.family](
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads or shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        **names,
        **extra,
    )


def fresh_decoder(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """A decoder with weights drawn from `seed`; its head starts as its embedding."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.copy_(model.get_input_embeddings().weight)
    return model


def matrices_and_others(
    model: PreTrainedModel,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Parameters by name: the matrices inside the blocks, and all the rest."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices: dict[str, torch.Tensor] = {}
    others: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and id(parameter) not in embeddings and ".wpe." not in name
        (matrices if inside else others)[name] = parameter
    return matrices, others
