"""The whole way, for real: tiny.yaml to a bundle, and what each later edit rebuilds.

One build is made per session; every scenario works on a copy of its folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.folder import (
    ROOT,
    SECOND_READER,
    TINY,
    built,
    chain,
    digests_below,
    edit,
    nexusbuild,
    states,
)

TEACHERS = {"reasoning": "scholar", "tools": "operator", "code": "coder"}


def test_the_bundle_holds_what_was_asked_for(first_build: Path) -> None:
    bundle = first_build / "dist" / "tiny_bundle"
    report = json.loads((bundle / "verify_report.json").read_text(encoding="utf-8"))
    verdicts = {name: entry["verdict"] for name, entry in report["contracts"].items()}
    assert verdicts == dict.fromkeys(("reasoning", "tools", "code", "router"), "pass")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["capabilities"]) == set(TEACHERS)
    record = record_of(first_build, "bundle")
    # The manifest leads to the record of the bundle, and that to the keys of all it was made of.
    assert manifest["made_of"] == {role: use["digest"] for role, use in record["inputs"].items()}
    for use in record["inputs"].values():
        assert (first_build / ".nexus/actions" / f"{use['key']}.json").exists()
    assert (first_build / "nexus.lock").exists()


def test_every_kind_of_target_ran(first_build: Path) -> None:
    kinds = {target.partition(":")[0] for target in states(first_build, "--dry-run")}
    assert kinds == {
        "dataset", "trained_teacher", "teacher", "baseline", "profile", "trace", "registry",
        "architecture", "tokenizer", "backbone", "pack", "adapter", "router", "score", "gate",
        "bundle",
    }  # fmt: skip


def test_the_bundle_answers(first_build: Path) -> None:
    from nexus import NexusModel

    model = NexusModel.load(first_build / "dist" / "tiny_bundle")
    answer = model.generate(prompt="Sam has 3 coins. He finds 4 more.", capability="reasoning")
    assert isinstance(answer, str)
    assert set(model.capabilities) == set(TEACHERS)


def test_the_items_are_those_that_the_gate_judged(project: Path) -> None:
    code, text = nexusbuild(project, "items", "reasoning", "--all", "--json")
    document = json.loads(text)
    lines = (project / "build" / "gate" / "reasoning" / "items.jsonl").read_text("utf-8")
    judged = {row["id"]: row for row in map(json.loads, lines.splitlines())}
    assert code == 0 and document["teacher"] == "scholar" and document["state"] == "fresh"
    assert len(document["items"]) == len(judged) > 0
    for item in document["items"]:
        scores = {"teacher": item["teacher_score"], "student": item["student_score"]}
        assert scores == {key: judged[item["id"]][key] for key in scores}
    code, text = nexusbuild(project, "items", "reasoning", "--number", "2")
    assert code == 0 and "scored by" in text
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_is_stale_afterwards(project: Path) -> None:
    assert set(states(project, "--dry-run").values()) == {"fresh"}
    assert built(project) == set()
    code, _ = nexusbuild(project, "--dry-run", "--exit-code")
    assert code == 0


def test_a_dry_run_imports_no_torch(project: Path) -> None:
    script = (
        "import sys\n"
        "from nexusbuild.cli import main\n"
        "code = main(['--dry-run', '--json'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'doit'} & set(sys.modules)\n"
        "assert code == 0 and not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_comments_and_order_change_nothing(project: Path) -> None:
    edit(project, "seed: 7", "# a word\nseed:    7   # another")
    edit(project, "  quantize: int8\n  zip: false", "  zip: false\n  quantize: int8")
    assert set(states(project, "--dry-run").values()) == {"fresh"}


def test_another_threshold_rebuilds_gate_and_bundle(project: Path) -> None:
    edit(project, "code: {retain_fraction: 0.01}", "code: {retain_fraction: 0.02}")
    document = json.loads(nexusbuild(project, "--dry-run", "--json")[1])
    [reason] = next(t for t in document["targets"] if t["id"] == "gate:code")["reasons"]
    assert reason == {
        "code": "setting-changed",
        "path": "contracts.code.retain_fraction",
        "old": 0.01,
        "new": 0.02,
    }
    assert built(project) == {"gate:code", "bundle"}
    edit(project, "code: {retain_fraction: 0.02}", "code: {retain_fraction: 0.01}")
    found = states(project)
    assert {t for t, state in found.items() if state == "cached"} == {"gate:code", "bundle"}
    assert built(project) == set()


def test_a_threshold_out_of_reach_releases_nothing(project: Path) -> None:
    before = digests_below(project / "dist")
    never = "code: {retain_fraction: 0.01, at_least: 1}"  # which only the references have
    edit(project, "code: {retain_fraction: 0.01}", never)
    code, text = nexusbuild(project, "--json")
    document = json.loads(text)
    assert code == document["exit_code"] == 3
    found = {target["id"]: target["state"] for target in document["targets"]}
    assert found["gate:code"] == "built" and found["bundle"] == "skipped"
    assert digests_below(project / "dist") == before
    report = next((project / "build" / "candidate").rglob("verify_report.json"))
    failed = json.loads(report.read_text(encoding="utf-8"))["contracts"]["code"]
    assert failed["verdict"] == "fail" and failed["student_score"] < 1
    # Nothing has changed since, and the contract is still not met.
    assert nexusbuild(project)[0] == 3


def test_a_new_capability_leaves_the_others_alone(project: Path) -> None:
    before = digests_below(project / "dist" / "tiny_bundle" / "adapters")
    backbone = digests_below(project / "dist" / "tiny_bundle" / "backbone")
    edit(project, "\ncapabilities:", SECOND_READER.replace("REPLACE", "sums"))
    edit(
        project,
        "\ncapabilities:",
        "\ncapabilities:\n"
        "  sums: {dataset: more_problems, metric: bits_per_byte, "
        "profile: {samples: 10, pilot_samples: 4, explained_variance: 0.9}}",
    )
    edit(
        project,
        "\nteachers:",
        "  more_problems: {sample: word_problems, rows: 310, eval: 40, validation: 20, pilot: 20}\n"
        "\nteachers:",
    )
    edit(project, "\ncontracts:", "\ncontracts:\n  sums: {retain_fraction: 0.01}")
    edit(project, "[reasoning, tools, code]", "[reasoning, tools, code, sums]")
    expected = {
        "dataset:more_problems",
        "trained_teacher:reader",
        "teacher:reader",
        "baseline:reader/sums",
        "profile:reader/sums",
        "trace:reader/sums",
        *chain("sums"),
        "router",
        "pack:router",
        "gate:router",
        "registry",
        "bundle",
    }
    assert built(project) == expected
    after = digests_below(project / "dist" / "tiny_bundle" / "adapters")
    assert before.items() <= after.items() and len(after) == len(before) + 2
    assert digests_below(project / "dist" / "tiny_bundle" / "backbone") == backbone


def test_a_second_teacher_rebuilds_its_capability_alone(project: Path) -> None:
    edit(project, "\ncapabilities:", SECOND_READER.replace("REPLACE", "code"))
    ran = built(project)
    own = {
        "trained_teacher:reader",
        "teacher:reader",
        "baseline:reader/code",
        "profile:reader/code",
        "trace:reader/code",
    }
    assert own <= ran
    assert ran <= own | chain("code") | {"registry", "bundle", "router", "pack:router"} | {
        "gate:router"
    }


def test_teachers_can_be_deleted_after_the_build(project: Path) -> None:
    def weights() -> list[Path]:
        names = (project / "build" / "trained_teacher").rglob("model.safetensors")
        return [path for path in names if path.exists()]

    assert len(weights()) == 3
    code, _ = nexusbuild(project, "--delete-teachers")  # no terminal, and no --yes
    assert code == 2 and len(weights()) == 3
    code, text = nexusbuild(project, "--delete-teachers", "--yes", "--json")
    deleted = json.loads(text)["after_build"]
    assert code == 0 and {entry["teacher"] for entry in deleted} == set(TEACHERS.values())
    assert all(entry["bytes"] > 0 for entry in deleted) and weights() == []
    assert set(states(project, "--dry-run").values()) == {"fresh"}
    assert built(project) == set()
    edit(
        project, "warmup_steps: 4", "warmup_steps: 5"
    )  # everything downstream is built without them
    ran = built(project)
    assert "adapter:tools" in ran and not {each for each in ran if "teacher" in each}
    assert weights() == []


@pytest.mark.slow
def test_two_builds_from_nothing_are_the_same_bytes(first_build: Path, tmp_path: Path) -> None:
    (tmp_path / "nexus.yaml").write_text(TINY, encoding="utf-8")
    assert nexusbuild(tmp_path, "--jobs", "1")[0] == 0
    assert digests_below(tmp_path / "dist") == digests_below(first_build / "dist")
    for target in states(first_build, "--dry-run"):
        one, other = (record_of(folder, target) for folder in (first_build, tmp_path))
        assert one["outputs"] == other["outputs"], target
        assert one["key"] == other["key"], target


def record_of(folder: Path, target: str) -> dict[str, Any]:
    """The record that the current build left a target with."""
    link = folder / ".nexus" / "current" / target.replace("/", "%2F")
    record: dict[str, Any] = json.loads(link.read_text(encoding="utf-8").splitlines()[0])
    return record
