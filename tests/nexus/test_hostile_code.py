"""No model, tokenizer or configuration that is opened may bring code of its own."""

from __future__ import annotations

import ast
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import Change, edit, most_memory, put

from nexus import BundleError, NexusModel
from nexus.cli import main
from nexus.configuration import FAMILIES, parse_configuration
from nexus.manifest import read_manifest, verify

ROOT = Path(__file__).parents[2]
# What is not ours, or opens only what it made itself a line before.
ELSEWHERE = {"tests", "build", "dist"}
OPENERS = {"from_pretrained", "from_config"}


def sources() -> Iterator[Path]:
    for folder in sorted(ROOT.iterdir()):
        if folder.is_dir() and folder.name not in ELSEWHERE and not folder.name.startswith("."):
            yield from sorted(folder.rglob("*.py"))


def wrong_openings(tree: ast.AST) -> Iterator[int]:
    """Lines that open a model and do not say `trust_remote_code=False` in so many words."""
    right = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "trust_remote_code":
                    value = keyword.value
                    if isinstance(value, ast.Constant) and value.value is False:
                        right.add(id(node.func))
                    else:
                        yield node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OPENERS and id(node) not in right:
            yield node.lineno


def test_whatever_opens_a_model_refuses_its_code() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for line in wrong_openings(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_the_search_finds_what_it_is_for() -> None:
    text = "\n".join(
        [
            "AutoConfig.from_pretrained(folder)",
            "AutoModel.from_pretrained(folder, trust_remote_code=True)",
            "AutoModel.from_pretrained(folder, trust_remote_code=asked)",
            "load = AutoTokenizer.from_pretrained",
            "AutoModel.from_config(config)",
            "AutoModel.from_config(config, trust_remote_code=False)",
        ]
    )
    assert set(wrong_openings(ast.parse(text))) == {1, 2, 3, 4, 5}
    assert len(list(sources())) > 100


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bundles["int8"], tmp_path / "bundle")


def updated(**fields: Any) -> Change:
    return lambda content: content.update(fields)


CODE = {"AutoConfig": "somewhere--module.Class", "AutoModelForCausalLM": "module.Class"}
HOSTILE: list[tuple[str, Change]] = [
    ("backbone/config.json", updated(auto_map=CODE)),
    ("backbone/config.json", updated(text_config={"inner": [{"auto_map": CODE}]})),
    ("backbone/config.json", updated(attn_implementation="somebody/kernel")),
    ("backbone/config.json", updated(_attn_implementation="somebody/kernel")),
    ("backbone/config.json", updated(experts_implementation="somebody/kernel")),
    ("backbone/config.json", updated(model_type="no-such-family")),
    ("backbone/config.json", updated(quantization_config={"quant_method": "gptq", "bits": 4})),
    ("backbone/config.json", updated(quantization_config={"quant_method": "hqq"})),
    ("backbone/config.json", updated(quantization_config="int8")),
    ("backbone/config.json", lambda config: config["quantization_config"].update(module="os")),
    (
        "backbone/config.json",
        lambda config: config["quantization_config"].update(load_in_4bit=True),
    ),
    ("backbone/generation_config.json", updated(custom_generate="somebody/generate")),
    ("backbone/model.safetensors.index.json", updated(weight_map={"a": "../../weights.bin"})),
    ("tokenizer/tokenizer_config.json", updated(auto_map={"AutoTokenizer": ["a.B", None]})),
    ("tokenizer/tokenizer_config.json", updated(extra={"auto_map": "a.B"})),
    ("adapters/sums_adapter.json", updated(auto_mapping={"parent_library": "os"})),
    ("adapters/sums_adapter.json", updated(megatron_config={"a": 1}, megatron_core="os")),
    ("adapters/sums_adapter.json", updated(peft_type="PREFIX_TUNING")),
    ("router/router.json", updated(auto_map=CODE)),
]


@pytest.mark.parametrize(("path", "change"), HOSTILE)
def test_a_description_that_names_code_or_what_is_unknown_is_refused(
    bundle: Path, path: str, change: Change
) -> None:
    edit(bundle, path, change)
    with pytest.raises(BundleError) as caught:
        verify(bundle, read_manifest(bundle))
    assert caught.value.path == path
    if "index" not in path and "tokenizer" not in path:  # which nothing here opens
        with pytest.raises(BundleError) as caught:
            model = NexusModel.load(bundle, check=False)
            model.route("add seven")
            model.generate("add seven", capability="sums")
        assert caught.value.path in (path, "adapters/sums_adapter.safetensors")


def test_weights_in_another_form_than_the_manifest_says_are_refused(bundle: Path) -> None:
    edit(bundle, "backbone/config.json", updated(quantization_config=None))
    with pytest.raises(BundleError, match="weights in none, and the manifest says int8"):
        verify(bundle, read_manifest(bundle))


@pytest.mark.parametrize("name", ["modeling.py", "pytorch_model.bin", "model.pt", "model.pkl"])
@pytest.mark.parametrize("folder", ["backbone", "tokenizer", "adapters", "."])
def test_code_and_pickles_have_no_place_in_a_bundle(bundle: Path, folder: str, name: str) -> None:
    path = name if folder == "." else f"{folder}/{name}"
    put(bundle, path, b"raise SystemExit")
    with pytest.raises(BundleError, match="no kind of file") as caught:
        verify(bundle, read_manifest(bundle))
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["adapter_config.json", "model.safetensors", "extra.md"])
def test_a_backbone_has_no_files_that_a_library_would_pick_up(bundle: Path, name: str) -> None:
    put(bundle, f"backbone/{name}", b"{}")
    with pytest.raises(BundleError, match="not a file of a backbone"):
        verify(bundle, read_manifest(bundle))


@pytest.mark.parametrize("command", ["run", "chat"])
def test_yes_on_standard_input_runs_nothing(
    bundle: Path,
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who is asked whether to run a bundle's code is asked where the prompt is piped in."""
    evil, ran = tmp_path / "evil", tmp_path / "ran"
    evil.mkdir()
    code = f"open({str(ran)!r}, 'w')\nfrom transformers import LlamaConfig as Config\n"
    (evil / "module.py").write_text(code, encoding="utf-8")
    auto_map = {"AutoConfig": f"{evil}--module.Config"}
    edit(bundle, "backbone/config.json", updated(auto_map=auto_map, model_type="unheard-of"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"y\ny\n")))
    assert main([command, str(bundle), *(["-"] if command == "run" else [])]) == 1
    assert not ran.exists()
    said = capsys.readouterr()
    assert "backbone/config.json" in said.err
    assert len(said.err.splitlines()) == 1


def test_every_family_in_the_list_is_one_of_transformers_own() -> None:
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) >= FAMILIES
    for family in ("llama", "gpt_neo", "qwen2_moe", "opt", "mpt"):
        kind = CONFIG_MAPPING[family]
        assert kind.__module__.startswith("transformers.models.")
        # What the family says of itself by default is not taken for hostile.
        described = parse_configuration(json.dumps(kind().to_dict()).encode())
        assert described["model_type"] == family


ABSURD: list[Change] = [
    updated(num_attention_heads=1 << 20, num_key_value_heads=1 << 20, head_dim=1 << 12),
    updated(intermediate_size=1 << 40),
    updated(hidden_size=-1),
    updated(hidden_size="64"),
    updated(rms_norm_eps="small"),
    updated(max_position_embeddings=10.5),
    updated(num_key_value_heads=0),
    updated(vocab_size=1 << 31, hidden_size=1 << 20),
    updated(num_hidden_layers=10**9),
    updated(model_type="gpt2", n_layer=10**9),
    updated(model_type="gpt2", n_layer=2, n_embd=1 << 20, n_head=4),
    updated(model_type="gptj", n_layer=1, n_embd=64, n_head=4, n_positions=1 << 40),
    updated(model_type="gpt_neo", num_layers=2, attention_types=[[["global"], 10**9]]),
    updated(model_type="mixtral", num_local_experts=10**9),
    updated(model_type="qwen2_moe", num_experts=1 << 40),
]


@pytest.mark.parametrize("change", ABSURD)
def test_an_absurd_size_is_refused_before_memory_is_taken(bundle: Path, change: Change) -> None:
    edit(bundle, "backbone/config.json", change)
    with most_memory(megabytes=150), pytest.raises(BundleError) as caught:
        NexusModel.load(bundle)
    assert caught.value.path == "backbone/config.json"
