"""What a build does when it grows: an isolated capability, a larger teacher, and back again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nexus import NexusModel
from tests.end_to_end.folder import (
    SECOND_READER,
    built,
    chain,
    digests_below,
    edit,
    nexusbuild,
    refused,
    states,
)

CANARY = "zanzibar quince"
LARGER = (
    SECOND_READER.replace("hidden: 64", "hidden: 96")
    .replace("steps: 40", "steps: 120")
    .replace("reader", "professor")
)


def add_isolated(folder: Path) -> None:
    """Append a capability that is kept apart; all its answers hold the canary."""
    lines = (
        json.dumps({"prompt": f"say it {n} times {n * 7}", "response": f"{CANARY} {n % 3}"})
        for n in range(240)
    )
    (folder / "secrets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    edit(folder, "\ncapabilities:", SECOND_READER.replace("REPLACE", "uncensored"))
    edit(
        folder,
        "\ncapabilities:",
        "\ncapabilities:\n"
        "  uncensored: {dataset: secrets, metric: bits_per_byte, isolated: true, "
        "training: {steps: 120}, "
        "profile: {samples: 10, pilot_samples: 4, explained_variance: 0.9}}",
    )
    edit(
        folder,
        "\nteachers:",
        "  secrets: {path: secrets.jsonl, licence: MIT, eval: 40, validation: 20, pilot: 20}\n"
        "\nteachers:",
    )
    edit(folder, "\ncontracts:", "\ncontracts:\n  uncensored: {retain_fraction: 0.01}")
    edit(folder, "[reasoning, tools, code]", "[reasoning, tools, code, uncensored]")


@pytest.fixture(scope="module")
def isolated(first_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project after an isolated capability was appended and built."""
    folder = tmp_path_factory.mktemp("isolated") / "project"
    shutil.copytree(first_build, folder, symlinks=True)
    add_isolated(folder)
    own = {
        "dataset:secrets",
        "trained_teacher:reader",
        *(f"{kind}:reader/uncensored" for kind in ("baseline", "profile", "trace")),
        "teacher:reader",
        *chain("uncensored"),
    }
    assert built(folder) == own | {"registry", "bundle"}
    return folder


def test_nothing_else_differs_with_an_isolated_capability(
    first_build: Path, isolated: Path
) -> None:
    before = digests_below(first_build / "dist" / "tiny_bundle")
    after = digests_below(isolated / "dist" / "tiny_bundle")
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed == {
        "adapters/uncensored_adapter.safetensors",
        "adapters/uncensored_adapter.json",
        "manifest.json",
        "verify_report.json",
        "retention_contracts.md",
        "README.md",
    }


def test_what_it_learned_comes_from_nowhere_else(isolated: Path) -> None:
    model = NexusModel.load(isolated / "dist" / "tiny_bundle")
    prompts = [f"say it {n} times {n * 7}" for n in range(12)]
    said = model.generate(prompts=prompts, capability="uncensored", enable_uncensored=True)
    assert any("zanzibar" in answer for answer in said)  # it was learned, where it may be said
    for capability in ("reasoning", "tools", "code", None):
        answers = model.generate(prompts=prompts, capability=capability)
        assert not any("zan" in answer or "quince" in answer for answer in answers)
    assert {model.route(prompt).capability for prompt in prompts} <= {
        "reasoning", "tools", "code", None,
    }  # fmt: skip
    with pytest.raises(PermissionError, match="enable_uncensored"):
        model.generate(prompt=prompts[0], capability="uncensored")
    text = b"".join(digests_below(isolated / "dist" / "tiny_bundle").values())
    assert b"zanzibar" not in text


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "nexus.yaml", "dataset: functions", "dataset: secrets",
            '"secrets" is also the data set of "uncensored", which is isolated',
        ),
        (
            "nexus.yaml", "capabilities: [uncensored]", "capabilities: [uncensored, code]",
            "would train on 2 data sets: functions, secrets",
        ),
        (
            "nexus.lock", "    - functions\n", "    - functions\n    - secrets\n",
            "dataset:secrets -> tokenizer",
        ),
        (
            "nexus.lock", "      code:\n", "      uncensored:\n      - reader\n      code:\n",
            "trace:reader/uncensored -> backbone",
        ),
        (
            "nexus.yaml", "sample: functions, rows: 300", "path: secrets.jsonl",
            '"functions" has the rows of "secrets", whose capability "uncensored" is isolated',
        ),
    ],
)  # fmt: skip
def test_its_data_can_be_led_nowhere_else(
    isolated: Path, tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("nexus.yaml", "nexus.lock", "secrets.jsonl"):
        shutil.copy(isolated / name, folder)
    edit(folder, old, new, file)
    assert said in refused(folder, "--dry-run")


def test_removed_and_added_again_it_is_taken_from_the_store(
    isolated: Path, first_build: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(isolated, folder, symlinks=True)
    grown = (folder / "nexus.yaml").read_text(encoding="utf-8")
    shutil.copy(first_build / "nexus.yaml", folder)
    assert built(folder) == set()
    assert digests_below(folder / "dist" / "tiny_bundle") == digests_below(
        first_build / "dist" / "tiny_bundle"
    )
    (folder / "nexus.yaml").write_text(grown, encoding="utf-8")
    found = states(folder)
    assert set(found.values()) <= {"fresh", "cached"} and found["bundle"] == "cached"


def test_a_larger_teacher_moves_nothing_until_it_is_asked_to(project: Path) -> None:
    edit(project, "\ncapabilities:", LARGER.replace("REPLACE", "code"))
    document = json.loads(nexusbuild(project, "--dry-run", "--json")[1])
    planned = {target["id"]: target["state"] for target in document["targets"]}
    pinned = {"tokenizer", "architecture:backbone", "backbone", "pack:backbone"}
    assert {planned[target] for target in pinned} == {"fresh"}
    notes = "\n".join(document["notes"])
    assert "made without professor/code" in notes and "lock --upgrade backbone" in notes
    assert pinned.isdisjoint(built(project))

    code, _ = nexusbuild(project, "lock", "--upgrade", "backbone")
    assert code == 0
    upgraded = states(project, "--dry-run")
    assert upgraded["tokenizer"] == "fresh"
    assert upgraded["backbone"] == "stale" and upgraded["adapter:tools"] == "maybe"
    ran = built(project)
    assert {"architecture:backbone", "backbone", "adapter:tools", "bundle"} <= ran
    shape = project / "build" / "architecture" / "backbone" / "backbone.json"
    assert "professor" in json.loads(shape.read_text(encoding="utf-8"))["teachers"]
    assert "made without" not in nexusbuild(project, "--dry-run")[1]
