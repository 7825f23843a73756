"""The scorer: what it writes, and that it can reach nothing else."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nexus import NexusModel
from nexusbuild.plugins import Job
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
    trace: Path
    cached: Path
    address: tuple[str, int]

    @property
    def weights(self) -> dict[str, Path]:
        return {"teacher": self.teacher, "trace": self.trace, "hub's cache": self.cached}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """All as safetensors, so that every way of opening is tried on every file."""
    teacher = tmp_path / "models" / "teacher.safetensors"
    trace = tmp_path / "store" / "objects" / ("0" * 64)
    cached = tmp_path / "hub" / "models--teacher" / "snapshots" / "0" / "model.safetensors"
    for path in (teacher, trace, cached):
        path.parent.mkdir(parents=True)
        save_file({"weight": torch.ones(2)}, path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Outside(teacher, trace, cached, listener.getsockname())


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
    """Every way to every file, to the server, and round about."""
    # The confined child's parent is this process; that of this process may be another user's.
    parent = os.getpid()

    def by_safetensors(path: Path) -> None:
        with safe_open(path, framework="pt") as tensors:
            tensors.get_tensor("weight")

    def by_libc(path: Path) -> None:
        descriptor = ctypes.CDLL(None).open(str(path).encode(), os.O_RDONLY)
        assert descriptor >= 0
        os.close(descriptor)

    def by_mapping(path: Path) -> None:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as part:
            assert part[:1]

    def in_subprocess(code: str, *arguments: str) -> None:
        command = [sys.executable, "-I", "-S", "-c", code, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def by_link() -> None:
        link = Path.cwd() / "link"
        link.symlink_to(outside.trace)
        link.read_bytes()

    def by_udp() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", outside.address)

    def connecting() -> None:
        host, port = outside.address
        code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))"
        in_subprocess(code, host, str(port))

    ways: dict[str, Callable[[Path], object]] = {
        "Python": lambda path: path.read_bytes(),
        "safetensors": by_safetensors,
        "torch.load": torch.load,
        "libc": by_libc,
        "mmap": by_mapping,
        "listing": lambda path: list(path.parent.iterdir()),
        "subprocess": lambda path: in_subprocess("import sys; open(sys.argv[1])", str(path)),
        "shell": lambda path: subprocess.run(["/bin/sh", "-c", f"cat {path}"], check=True),
        "proc root": lambda path: Path(f"/proc/self/root{path}").read_bytes(),
        "parent's root": lambda path: Path(f"/proc/{parent}/root{path}").read_bytes(),
    }
    attempts = {
        f"{what} by {name}": partial(way, path)
        for what, path in outside.weights.items()
        for name, way in ways.items()
    }
    return attempts | {
        "link": by_link,
        "tcp": lambda: socket.create_connection(outside.address, timeout=5).close(),
        "tcp in a subprocess": connecting,
        "udp": by_udp,
        "unix socket": lambda: socket.socketpair()[0].close() or socket.socket(socket.AF_UNIX),
        "write": lambda: outside.trace.with_name("new").write_text("x"),
        "delete": lambda: outside.trace.with_name("new").unlink(),
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
    refused = set(attempts) - set(succeeding(attempts))
    assert all("torch.load" in name for name in refused), refused
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
    alone = (score_job.out / "backbone.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in alone] == [row["id"] for row in rows][:100]
    assert [json.loads(line)["answer"] for line in alone] != [row["answer"] for row in rows]
    report = json.loads((score_job.out / "confinement.json").read_text(encoding="utf-8"))
    assert report["method"] == method
    assert len(report["tried"]) >= 6


def test_a_file_of_the_store_is_tried(score_job: Job, outside: Outside) -> None:
    scratch = outside.trace.parents[1] / "scratch" / "key"
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


@pytest.mark.skipif(not landlock.landlock_abi(), reason="no Landlock here")
def test_an_old_landlock_without_a_filter_of_system_calls_is_not_enough(
    score_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Landlock of Linux 5.13 to 6.6 knows no network: nothing else would hold sockets back."""
    monkeypatch.setattr(landlock, "landlock_abi", lambda: 3)
    monkeypatch.setattr(confinement, "refuse_system_calls", lambda: False)
    with pytest.raises(RuntimeError, match="leaks: it could connect to a socket"):
        build(score_job)
    assert not list(score_job.out.iterdir())


def test_what_was_tried_stands_in_the_report(
    score_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    done = run_confined(
        lambda progress: None, score_job.inputs, score_job.out, score_job.scratch, no_progress
    )
    assert {each["what"] for each in done["tried"]} == {
        "open a file outside",
        "open weights outside with safetensors",
        "list a folder outside",
        "write a file outside",
        "read a file outside in a subprocess",
        "open weights outside with safetensors in a subprocess",
        "connect to a socket",
        "send a datagram",
        "list the hub's cache",
    }
    assert done["system_calls_refused"] is True


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


def test_what_fails_inside_is_told_outside(score_job: Job) -> None:
    def scoring(progress: Callable[[int, int], None]) -> None:
        raise ValueError("no such tensor")

    with pytest.raises(RuntimeError, match="no such tensor"):
        run_confined(
            scoring, score_job.inputs, score_job.out, score_job.scratch, score_job.progress
        )
