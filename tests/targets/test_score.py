"""The scorer: what it writes, and that it can reach nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nexus import NexusModel
from nexusbuild.graph import Job
from targets.score import confinement, landlock, namespaces
from targets.score.confinement import run_confined
from targets.score.work import build

METHODS = [
    pytest.param(
        "landlock",
        marks=pytest.mark.skipif(not landlock.landlock_abi(), reason="no Landlock here"),
    ),
    pytest.param(
        "namespace",
        marks=pytest.mark.skipif(not namespaces.namespaces_work(), reason="no namespaces here"),
    ),
]


@pytest.fixture
def score_job(
    make_job: Callable[..., Job],
    packed_backbones: dict[str, Path],
    packed_adapters: dict[str, Path],
    student_tokenizer: Path,
    datasets: dict[str, Path],
) -> Job:
    return make_job(
        "score:sums",
        backbone=packed_backbones["int8"],
        adapter=packed_adapters["sums"],
        tokenizer=student_tokenizer,
        eval=datasets["sums"] / "eval.jsonl",
        description=datasets["sums"] / "dataset.json",
    )


@dataclass(frozen=True)
class Outside:
    """What a scorer must not reach: a teacher, a trace in the store, a hub's cache, a server."""

    teacher: Path
    store_object: Path
    cache: Path
    address: tuple[str, int]


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    teacher = tmp_path / "models" / "teacher.safetensors"
    stored = tmp_path / "store" / "objects" / ("0" * 64)
    cache = tmp_path / "hub" / "models--teacher"
    for path in (teacher, stored, cache / "config.json"):
        path.parent.mkdir(parents=True)
    save_file({"weight": torch.ones(2)}, teacher)
    stored.write_text("trace", encoding="utf-8")
    (cache / "config.json").write_text("{}", encoding="utf-8")
    listener = socket.create_server(("127.0.0.1", 0))
    yield Outside(teacher, stored, cache, listener.getsockname())
    listener.close()


def use(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let only one of the two methods be had."""
    if method == "namespace":
        monkeypatch.setattr(landlock, "landlock_abi", lambda: 0)
    else:
        monkeypatch.setattr(namespaces, "namespaces_work", lambda: False)


def succeeding(attempts: Mapping[str, Callable[[], object]]) -> list[str]:
    """Names of the attempts that raise nothing."""
    working = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception:
            continue
        working.append(name)
    return working


def attempts_on(outside: Outside) -> dict[str, Callable[[], object]]:
    reader = "import sys; open(sys.argv[1]).read()"

    def by_safetensors() -> None:
        with safe_open(outside.teacher, framework="pt") as tensors:
            tensors.get_tensor("weight")

    def by_subprocess() -> None:
        command = [sys.executable, "-I", "-S", "-c", reader, str(outside.store_object)]
        subprocess.run(command, check=True, capture_output=True)

    def by_link() -> None:
        link = Path.cwd() / "link"
        link.symlink_to(outside.store_object)
        link.read_text()

    def by_udp() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", outside.address)

    return {
        "open": lambda: outside.teacher.read_bytes(),
        "safetensors": by_safetensors,
        "torch.load": lambda: torch.load(outside.teacher),
        "store": lambda: outside.store_object.read_text(),
        "cache": lambda: list(outside.cache.iterdir()),
        "shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
        "subprocess": by_subprocess,
        "proc root": lambda: Path(f"/proc/self/root{outside.teacher}").read_bytes(),
        "parent's root": lambda: Path(f"/proc/{os.getppid()}/root{outside.teacher}").read_bytes(),
        "link": by_link,
        "tcp": lambda: socket.create_connection(outside.address, timeout=5).close(),
        "udp": by_udp,
        "write": lambda: outside.store_object.with_name("new").write_text("x"),
    }


@pytest.mark.parametrize("method", METHODS)
def test_nothing_outside_can_be_reached(
    score_job: Job, outside: Outside, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    use(monkeypatch, method)
    inherited = os.open(outside.teacher, os.O_RDONLY)
    attempts = attempts_on(outside)
    attempts["inherited file"] = lambda: os.read(inherited, 1)
    monkeypatch.chdir(score_job.out)
    assert set(attempts) - set(succeeding(attempts)) <= {"torch.load"}
    (score_job.out / "link").unlink()

    def scoring(progress: Callable[[int, int], None]) -> None:
        config = (score_job.inputs["backbone"] / "config.json").read_text(encoding="utf-8")
        assert json.loads(config)["model_type"] == "llama"
        working = succeeding(attempts)
        (score_job.out / "working.json").write_text(json.dumps(working), encoding="utf-8")

    done = run_confined(
        scoring, score_job.inputs, score_job.out, score_job.scratch, score_job.progress
    )
    os.close(inherited)
    assert json.loads((score_job.out / "working.json").read_text(encoding="utf-8")) == []
    assert done["method"] == method
    assert all(attempt["refused"] for attempt in done["tried"])


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_what_the_bundle_answers(
    score_job: Job,
    bundles: dict[str, Path],
    datasets: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    use(monkeypatch, method)
    build(score_job)
    text = (score_job.out / "eval.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    asked = (datasets["sums"] / "eval.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in asked]
    model = NexusModel.load(bundles["int8"])
    assert [row["answer"] for row in rows] == model.generate(prompts=prompts, capability="sums")
    assert all(row["log_prob"] < 0 and row["tokens"] > 1 for row in rows)
    report = json.loads((score_job.out / "confinement.json").read_text(encoding="utf-8"))
    assert report["method"] == method
    assert len(report["tried"]) >= 6


def test_a_file_of_the_store_is_tried(score_job: Job, outside: Outside) -> None:
    scratch = outside.store_object.parents[1] / "scratch" / "key"
    scratch.mkdir(parents=True)
    done = run_confined(
        lambda progress: None, score_job.inputs, score_job.out, scratch, score_job.progress
    )
    assert "open another target's file in the store" in [each["what"] for each in done["tried"]]


def test_without_any_confinement_nothing_is_scored(
    score_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "landlock_abi", lambda: 0)
    monkeypatch.setattr(namespaces, "namespaces_work", lambda: False)
    with pytest.raises(RuntimeError, match=r"Landlock.*Nothing was scored"):
        build(score_job)
    assert not list(score_job.out.iterdir())


def test_a_confinement_that_leaks_is_noticed(
    score_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule too many, as a mistake in the allow-list would make it."""
    monkeypatch.setattr(confinement, "SYSTEM_LIBRARIES", (str(score_job.scratch),))
    with pytest.raises(RuntimeError, match="leaks: it could open a file outside"):
        build(score_job)


def test_what_fails_inside_is_told_outside(score_job: Job) -> None:
    def scoring(progress: Callable[[int, int], None]) -> None:
        raise ValueError("no such tensor")

    with pytest.raises(RuntimeError, match="no such tensor"):
        run_confined(
            scoring, score_job.inputs, score_job.out, score_job.scratch, score_job.progress
        )
