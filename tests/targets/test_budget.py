"""What a build will need, by configurations alone."""

import json
from pathlib import Path
from typing import Any

import pytest

import specs
from opened_models.model_folder import configured_parameters, model_folder, model_folders
from targets.budget.devices import GIGABYTE
from targets.budget.needs import opened_needs
from targets.commands import check
from targets.commands.budget import Budget, Limits, budget_of
from tests.targets.test_domain_commands import TINY, ran

ROOT = Path(__file__).parents[2]
BIG = """\
  - id: big
    source: {path: models/big}
    licence: MIT
    capabilities: [code]

capabilities:
"""
# Sizes as their model cards state them, to a few percent.
CONFIGURATIONS = {
    "Qwen3-0.6B": (596e6, {
        "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "head_dim": 128,
        "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 3072,
        "vocab_size": 151936, "tie_word_embeddings": True}),
    "Qwen3-8B": (8.19e9, {
        "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "head_dim": 128,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 12288,
        "vocab_size": 151936, "tie_word_embeddings": False}),
    "Qwen3-30B-A3B": (30.5e9, {
        "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "head_dim": 128,
        "num_attention_heads": 32, "num_key_value_heads": 4, "moe_intermediate_size": 768,
        "intermediate_size": 6144, "num_experts": 128, "vocab_size": 151936,
        "tie_word_embeddings": False}),
    "gpt2": (124e6, {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12,
                     "vocab_size": 50257}),
}  # fmt: skip


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nexus.yaml"
    path.write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def budget(path: Path, **limits: int) -> Budget:
    granted = Limits(**{"vram": None, "ram": None, "disk": None, **limits})
    return budget_of(specs.load(path), path, {}, granted)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_says_the_size(name: str) -> None:
    size, config = CONFIGURATIONS[name]
    found = configured_parameters(config)
    assert found is not None
    assert found == pytest.approx(size, rel=0.03)


@pytest.mark.parametrize("config", [{}, {"hidden_size": "x"}, {"text_config": 3}, {"n_embd": 8}])
def test_what_is_no_configuration_says_nothing(config: dict[str, Any]) -> None:
    assert configured_parameters(config) is None


def test_every_target_is_estimated(spec: Path) -> None:
    found = budget(spec)
    assert len(found.targets) == 42
    assert all(each.ram > 0 and each.seconds > 0 and each.disk > 0 for each in found.targets)
    assert not any(each.problems for each in found.targets)
    assert found.fetched == 0


def test_the_sample_takes_about_what_it_took() -> None:
    """Eight to eleven minutes one after the other, measured; the estimate is of that order."""
    found = budget(ROOT / "nexus.yaml")
    assert 5 * 60 < sum(each.seconds for each in found.targets) < 20 * 60


def test_a_model_that_is_a_configuration_alone(spec: Path) -> None:
    text = TINY.replace("device: cpu, ram: 4GB", "device: auto, ram: 16GB")
    text = text.replace("\ncapabilities:\n", f"\n{BIG}")
    spec.write_text(text, encoding="utf-8")
    folder = spec.parent / "models" / "big"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIGURATIONS["Qwen3-8B"][1]), encoding="utf-8")
    profile = next(e for e in budget(spec).targets if e.target == "profile:big/code")
    assert profile.vram == pytest.approx(8.19e9 * 4 * 1.2 + 2 * GIGABYTE, rel=0.03)
    assert profile.takes in ("minutes", "hours")
    estimates = budget(spec, vram=16 * GIGABYTE).targets
    tight = next(each for each in estimates if each.target == "profile:big/code")
    (problem,) = tight.problems
    assert problem.says == "38.6GB of GPU memory, 16.0GB granted"
    smaller, streamed, larger = problem.remedies
    assert smaller == "load: int8 (12.1GB)"
    assert streamed.startswith("hardware.device: cpu and load: fp32: streamed block by block")
    assert larger == "a larger GPU"


def test_of_a_model_of_unknown_size_it_is_said(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(TINY.replace("\ncapabilities:\n", f"\n{BIG}"), encoding="utf-8")
    assert budget(spec).unknown == ["big"]
    ran(check.command, "--budget")
    assert "teacher big: its size is not known; say `parameters: 8B`" in capsys.readouterr().out


def test_the_tables_for_people_and_for_machines(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big = BIG.replace("licence: MIT", "licence: MIT\n    parameters: 70B")
    text = TINY.replace("\ncapabilities:\n", f"\n{big}")
    text = text.replace("device: cpu", "device: auto, vram: 16GB")
    spec.write_text(text, encoding="utf-8")
    assert ran(check.command, "--budget") == 2
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    assert "teacher big (4 targets): 315GB of GPU memory, 16.0GB granted" in said
    assert "models still to be fetched: about 130GB" in said
    assert ran(check.command, "--budget", "--verbose") == 2
    assert "gate:reasoning" in capsys.readouterr().out
    assert ran(check.command, "--budget", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert len(document["targets"]) == 46
    big = next(each for each in document["targets"] if each["id"] == "trace:big/code")
    assert (big["fits"], big["takes"]) == (False, "minutes")
    assert document["totals"]["fits"] is False
    spec.write_text(TINY, encoding="utf-8")
    assert ran(check.command, "--budget") == 0


def test_a_mistake_in_the_spec_comes_first(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(TINY.replace("seed: 7", "sede: 7"), encoding="utf-8")
    assert ran(check.command, "--budget") == 2
    assert "did you mean seed?" in capsys.readouterr().err
    assert ran(check.command, "--budget", "--json") == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_a_step_that_is_too_large_names_the_one_that_fits(spec: Path) -> None:
    omni = ROOT / "examples" / "omni" / "nexus.yaml"
    text = omni.read_text(encoding="utf-8").replace("    batch: 8  ", "    batch: 32  ")
    spec.write_text(text, encoding="utf-8")
    backbone = next(
        each for each in budget(spec, vram=16 * GIGABYTE).targets if each.target == "backbone"
    )
    (problem,) = backbone.problems
    assert problem.kind == "vram"
    rows = int(problem.remedies[0].removeprefix("student.backbone.batch: "))
    assert 8 <= rows < 32
    spec.write_text(text.replace("    batch: 32  ", f"    batch: {rows}  "), encoding="utf-8")
    fitting = budget(spec, vram=16 * GIGABYTE)
    assert not next(each for each in fitting.targets if each.target == "backbone").problems


def test_smaller_formats_need_less() -> None:
    hardware = specs.load(ROOT / "nexus.yaml").hardware
    needs = [opened_needs(hardware, 8 * 10**9, load) for load in ("fp32", "bf16", "int8", "nf4")]
    assert [each.vram_bytes for each in needs] == sorted(
        (e.vram_bytes for e in needs), reverse=True
    )
    assert all(each.gpu for each in needs)


def test_models_are_found_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("a", "deep/er/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "config.json").write_text('{"port": 80}', encoding="utf-8")
    (tmp_path / "deep" / "round").symlink_to(tmp_path)
    (tmp_path / "a" / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    found = model_folders(tmp_path)
    assert [model.path.name for model in found] == ["a", "b"]
    assert [model.licence for model in found] == ["Apache-2.0", None]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---", "MIT"),
        ("---\nlicense: cc-by-nc-4.0\n---", "CC-BY-NC-4.0"),
        ("---\nlicense: other\nlicense_name: nvidia-open\n---", "LicenseRef-nvidia-open"),
        ("---\nlicense: gemma\n---", "LicenseRef-Gemma"),
        ("---\nlicense: other\n---", None),
        ("license: mit", None),
        ("", None),
    ],
)
def test_licences_of_model_cards(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert model_folder(tmp_path).licence == licence


def test_damaged_weights_say_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\xff" * 20, b"\x02" + b"\0" * 7 + b"[]", b"\x04" + b"\0" * 7 + b"{..}"):
        (tmp_path / "model.safetensors").write_bytes(content)
        assert model_folder(tmp_path).parameters is None
