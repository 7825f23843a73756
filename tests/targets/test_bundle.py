"""The release: complete, reproducible, teacher-free, and open to tools that are not Nexus."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import save_file

from nexus import NexusModel
from nexus.manifest import read_manifest, verify
from nexusbuild.plugins import Job
from targets.bundle.teacher_free import prove_teacher_free
from targets.bundle.work import build
from targets.teacher.work import described

WITHOUT_NEXUS = """
import json, os, re, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nexus", "targets", "specs", "nexusbuild"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import transformers
transformers.utils.logging.disable_progress_bar()
everything = []
for folder, code, prompts in json.load(sys.stdin):
    os.chdir(folder)
    answers = []
    setup, line, rest = re.split(r"^(prompt = .*\\n)", code, maxsplit=1, flags=re.M)
    space = {"collect": answers.append}
    exec(setup, space)
    for prompt in prompts:
        exec(line.replace('"..."', repr(prompt)) + rest.replace("print(", "collect("), space)
    everything.append(answers)
print("ANSWERS" + json.dumps(everything))
"""


def card_code(folder: Path) -> str:
    """The lines of the model card that need no Nexus."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(import json.*?)```", card, flags=re.S)[0]


def test_the_lines_of_the_card_give_the_same_answers_after_a_move(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    prompts = ["book the flight tomorrow", "weather in Oslo please", "call a tool", "Ärger & 12"]
    expected, cards = [], []
    for quantize, bundle in bundles.items():
        model = NexusModel.load(bundle)
        moved = tmp_path / f"elsewhere-{quantize}" / "renamed"
        shutil.copytree(bundle, moved)
        code = card_code(moved)
        assert ("dequantize" in code) == (quantize != "none")
        for name in ("private", "sums", "calls"):  # the card shows the lines for `calls`
            answers = model.generate(prompts=prompts, capability=name, enable_uncensored=True)
            expected.append(answers)
            cards.append((str(moved), code.replace("calls_adapter", f"{name}_adapter"), prompts))
        assert len({card for _, card, _ in cards[-3:]}) == 3
        if quantize == "int8":  # the card says that the line changes no token
            lines = [line for line in code.splitlines(True) if "dequantize" not in line]
            cards.append((str(moved), "".join(lines), prompts))
            expected.append(expected[-1])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NEXUS],
        input=json.dumps(cards),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.rpartition("ANSWERS")[2]) == expected
    assert all(len(set(answers)) > 1 for answers in expected)


def test_a_bundle_built_twice_has_the_same_bytes(bundle_job: Callable[..., Job]) -> None:
    digests = []
    for _ in range(2):
        job = bundle_job("int8", zip=True)
        build(job)
        files = [path for path in sorted(job.out.rglob("*")) if path.is_file()]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1]
    with zipfile.ZipFile(job.out / "tiny_bundle.zip") as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert "tiny_bundle/manifest.json" in names


def test_the_zip_opens_and_what_is_in_it_verifies(
    bundle_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = bundle_job("none", zip=True)
    build(job)
    with zipfile.ZipFile(job.out / "tiny_bundle.zip") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        archive.extractall(tmp_path)
    verify(tmp_path / "tiny_bundle", read_manifest(tmp_path / "tiny_bundle"))


def test_hubs_understand_the_model_card(bundles: dict[str, Path]) -> None:
    """With the hub's own reader: metadata, and scores as they were measured."""
    card = ModelCard.load(bundles["int8"] / "README.md")
    assert card.data.model_name == "tiny_bundle"
    assert card.data.license == "mit"
    assert card.data.base_model == ["scholar"]
    assert card.data.datasets == ["calls", "private", "sums"]
    scores = {
        (result.dataset_name, result.metric_type): result.metric_value
        for result in card.data.eval_results
    }
    assert scores["sums", "exact_match"] == 0.91 and scores["sums", "retained"] == 1.0111
    assert len(scores) == 6
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()


def test_every_licence_stands_in_the_manifest(bundles: dict[str, Path]) -> None:
    manifest = json.loads((bundles["int8"] / "manifest.json").read_text(encoding="utf-8"))
    assert {about["licence"] for about in manifest["teachers"].values()} == {"MIT"}
    assert {about["licence"] for about in manifest["datasets"].values()} == {"CC0-1.0"}
    for about in manifest["capabilities"].values():
        assert about["dataset_licence"] == "CC0-1.0"
        assert [teacher["licence"] for teacher in about["teachers"]] == ["MIT"]


def test_what_is_in_a_bundle_is_what_the_manifest_lists(bundles: dict[str, Path]) -> None:
    folder = bundles["int8"]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    assert on_disk >= {
        "backbone/config.json",
        "backbone/backbone.safetensors",
        "backbone/model.safetensors.index.json",
        "backbone/generation_config.json",
        "adapters/sums_adapter.safetensors",
        "adapters/sums_adapter.json",
        "router/router.safetensors",
        "router/router.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "verify_report.json",
        "retention_contracts.md",
        "README.md",
    }
    assert not [path for path in on_disk if path.endswith("adapter_config.json")]
    assert manifest["capabilities"]["private"]["isolated"] is True
    assert manifest["capabilities"]["sums"]["isolated"] is False


def test_the_report_stands_on_the_packed_bytes(bundles: dict[str, Path]) -> None:
    folder = bundles["nf4"]
    report = json.loads((folder / "verify_report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "pass"
    assert set(report["contracts"]) == {"sums", "calls", "private", "router"}
    for path, digest in report["files"].items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    assert report["teachers_kept_out"]["sums"]["method"] == "landlock"
    assert report["teacher_free"]["in_common"] == 0


def test_scores_by_route_stand_apart(bundles: dict[str, Path]) -> None:
    """Three of four right with the adapter; the router sends one of these elsewhere."""
    report = json.loads((bundles["none"] / "verify_report.json").read_text(encoding="utf-8"))
    assert report["by_route"]["sums"] == {"oracle": 0.91, "routed": 0.5, "backbone_only": None}
    assert report["by_route"]["private"]["routed"] is None  # nothing is ever routed there


def test_a_tensor_of_a_teacher_is_found_and_refused(
    bundle_job: Callable[..., Job], packed_backbones: dict[str, Path], tmp_path: Path
) -> None:
    with safe_open(packed_backbones["none"] / "backbone.safetensors", framework="pt") as tensors:
        weight = tensors.get_tensor("lm_head.weight")
    digest = hashlib.sha256(weight.numpy().tobytes()).hexdigest()
    job = bundle_job("none")
    teacher = tmp_path / "teacher"
    shutil.copytree(job.inputs["teacher/scholar"], teacher)
    stolen = {"head.weight": {"sha256": digest, "constant": False}}
    (teacher / "tensors.json").write_text(json.dumps(stolen), encoding="utf-8")
    with pytest.raises(ValueError, match=r"lm_head\.weight is head\.weight of the teacher scholar"):
        build(with_input(job, "teacher/scholar", teacher))
    # One that teaches nothing of what ships is known by its tensors alone.
    job = bundle_job("none")
    with pytest.raises(ValueError, match=r"lm_head\.weight is head\.weight of the teacher poet"):
        build(with_input(job, "tensors/poet", teacher))


def with_input(job: Job, role: str, path: Path) -> Job:
    return replace(job, inputs={**job.inputs, role: path})


@pytest.mark.parametrize("shipped", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("taught", [torch.bfloat16, torch.float32])
def test_a_weight_of_a_teacher_is_found_in_every_width_that_holds_it(
    taught: torch.dtype, shipped: torch.dtype, tmp_path: Path
) -> None:
    weight = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"x": weight.to(shipped)}, tmp_path / "backbone.safetensors")
    record = {"scholar": {"w": described(weight.to(taught))}}
    with pytest.raises(ValueError, match=r"backbone\.safetensors: x is w of the teacher scholar"):
        prove_teacher_free(tmp_path, record)
    save_file({"x": weight.to(shipped) + 1}, tmp_path / "backbone.safetensors")
    assert prove_teacher_free(tmp_path, record)["teacher_tensors"] == 1


def test_a_constant_tensor_is_nobodys(
    bundle_job: Callable[..., Job], packed_backbones: dict[str, Path], tmp_path: Path
) -> None:
    with safe_open(packed_backbones["none"] / "backbone.safetensors", framework="pt") as tensors:
        ones = tensors.get_tensor("model.norm.weight")
    digest = hashlib.sha256(ones.numpy().tobytes()).hexdigest()
    job = bundle_job("none")
    teacher = tmp_path / "teacher"
    shutil.copytree(job.inputs["teacher/scholar"], teacher)
    job = with_input(job, "teacher/scholar", teacher)
    norm = {"sha256": digest, "constant": False}
    (teacher / "tensors.json").write_text(json.dumps({"norm.weight": norm}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"norm\.weight of the teacher scholar"):
        build(job)
    norm["constant"] = True
    (teacher / "tensors.json").write_text(json.dumps({"norm.weight": norm}), encoding="utf-8")
    build(job)


def test_a_failed_contract_stands_in_the_report(
    bundle_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = bundle_job("none")
    verdict = json.loads((job.inputs["gate/sums"] / "verdict.json").read_text(encoding="utf-8"))
    shutil.copy(job.inputs["gate/sums"] / "items.jsonl", tmp_path)
    (tmp_path / "verdict.json").write_text(
        json.dumps({**verdict, "verdict": "fail"}), encoding="utf-8"
    )
    job = with_input(job, "gate/sums", tmp_path)
    build(job)
    text = (job.out / "tiny_bundle" / "verify_report.json").read_text(encoding="utf-8")
    assert json.loads(text)["verdict"] == "fail"


def test_the_contracts_page_shows_the_settings(bundles: dict[str, Path]) -> None:
    page = (bundles["int8"] / "retention_contracts.md").read_text(encoding="utf-8")
    assert "| sums | sums | exact_match | 0.5 of the teacher |" in page
    assert textwrap.dedent("| router | all of these | accuracy | 0.5 |") in page


def test_a_path_of_this_machine_is_refused(
    bundle_job: Callable[..., Job], student_tokenizer: Path, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(student_tokenizer, tokenizer)
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["name_or_path"] = f"{Path.cwd()}/somewhere"
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    job = bundle_job("none")
    with pytest.raises(ValueError, match="must not say where it was made"):
        build(with_input(job, "tokenizer", tokenizer))
