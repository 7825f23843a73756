"""What a profile leaves on the disk, in good order and killed; that it goes on; what it holds."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_teacher import WORDS, planted_teacher, profile_job, tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from targets.profile import checkpoints
from targets.profile.work import STAGES, build

# Bytes of a file that are compared at once: 2 to 8 consecutive values of a state.
WINDOW = 16
# Buffers of the libraries, and what their allocator does not give back.
SLACK = 24 << 20


def windows(values: Tensor) -> set[bytes]:
    """The first bytes of every row and column of (rows, width), in all precisions."""
    found = set()
    for lines in (values, values.T):
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            count = WINDOW // dtype.itemsize
            starts = lines[:, :count]
            if starts.shape[1] < count:
                continue
            # Equal values (padding, what a planted block leaves at 0) say nothing.
            telling = (starts != starts[:, :1]).any(dim=1) & (starts != 0).all(dim=1)
            bits = starts[telling].to(dtype).contiguous().view(torch.uint8).numpy()
            found |= {row.tobytes() for row in bits}
    return found


@contextmanager
def activations_of_mapping(stage: Callable[[], str]) -> Iterator[set[bytes]]:
    """Windows of whatever any module gives out while text is mapped: states, heads, neurons."""
    seen: set[bytes] = set()

    def after(_module: nn.Module, _args: object, output: object) -> None:
        if stage() not in ("mapping", "spectra"):
            return
        given = output if isinstance(output, tuple) else (output,)
        for values in given:
            if isinstance(values, Tensor) and values.is_floating_point() and values.ndim > 1:
                for row in values.detach().reshape(values.shape[0], -1, values.shape[-1]):
                    seen.update(windows(row))

    handle = nn.modules.module.register_module_forward_hook(after)
    try:
        yield seen
    finally:
        handle.remove()


def leaks(folder: Path, states: set[bytes]) -> list[str]:
    """Files below `folder` that hold a state."""
    found = []
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        if any(content[at : at + WINDOW] in states for at in range(len(content) - WINDOW + 1)):
            found.append(file.name)
    return found


def in_a_child(work: Callable[[], None]) -> int:
    """How a forked process ends that does this work: its exit code, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def teacher_and_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_teacher(tmp_path_factory.mktemp("watched"))


def test_killed_at_any_moment_it_leaves_no_state_and_goes_on_to_the_same_bytes(
    teacher_and_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkpoint after every batch, and small ones, so that there is a middle to be killed in.
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    now = ["answers"]

    def note(done: float, total: float, **figures: float | str) -> None:
        now[0] = str(figures["stage"])

    with activations_of_mapping(lambda: now[0]) as states:
        build(profile_job(teacher_and_data, tmp_path / "whole", note, batch_tokens=128))
    assert len(states) > 10_000
    assert leaks(tmp_path, states) == []

    killed = tmp_path / "killed"
    mapping = STAGES.index("mapping")
    moments = [1.0, 2.0, 3.0, mapping + 0.3, mapping + 0.7, mapping + 1.0, mapping + 2.0, 6.0]
    answered = 0.0
    for moment in moments:

        def until(done: float, total: float, moment: float = moment, **_: float | str) -> None:
            if done >= moment:
                os.kill(os.getpid(), signal.SIGKILL)

        job = profile_job(teacher_and_data, killed, until, batch_tokens=128)
        assert in_a_child(lambda job=job: build(job)) == -signal.SIGKILL
        assert leaks(tmp_path, states) == []
        # What was finished is not done again.
        written = (job.scratch / "answers.pt").stat().st_mtime
        assert answered in (0.0, written)
        answered = written
    job = profile_job(teacher_and_data, killed, batch_tokens=128)
    assert in_a_child(lambda: build(job)) == 0
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (killed / file.name).read_bytes(), file.name


def test_a_crash_leaves_no_image_of_the_memory(
    teacher_and_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where Linux puts it, unless told otherwise

    def dumps(crash: Callable[[], None]) -> bool:
        child = os.fork()
        if child == 0:
            try:
                most = resource.getrlimit(resource.RLIMIT_CORE)[1]
                resource.setrlimit(resource.RLIMIT_CORE, (most, most))
                crash()
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.WTERMSIG(status) == signal.SIGSEGV
        return os.WCOREDUMP(status)

    def crash(*_: object, **__: object) -> None:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's would write a stack here
        os.kill(os.getpid(), signal.SIGSEGV)

    def crash_small() -> None:
        Path("/proc/self/coredump_filter").write_text("0")
        crash()

    if not dumps(crash_small):
        pytest.skip("this system writes no image of any process")
    for image in tmp_path.glob("core*"):
        image.unlink()
    job = profile_job(teacher_and_data, tmp_path / "out", crash)
    assert not dumps(lambda: build(job))
    assert not list(tmp_path.glob("core*"))


@pytest.mark.parametrize("layout", ["rows", "half", "columns"])
def test_a_state_that_is_written_would_be_found(layout: str, tmp_path: Path) -> None:
    states = torch.randn(40, 32)
    stored = {"rows": states, "half": states.half(), "columns": states.T.contiguous()}[layout]
    torch.save({"harmless": torch.arange(99.0), "state": stored}, tmp_path / "leak.pt")
    np.savez(tmp_path / "leak.npz", stored.numpy())
    np.savez(tmp_path / "mean.npz", states.mean(dim=0).numpy(), (states.T @ states).numpy())
    assert sorted(leaks(tmp_path, windows(states))) == ["leak.npz", "leak.pt"]


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from planted_teacher import profile_job
from targets.profile.work import build
build(profile_job(Path({folder!r}), Path({out!r})))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_system_call_opens_another_file_to_write(teacher_and_data: Path, tmp_path: Path) -> None:
    """Also what C++ writes, what is removed again, and files without a name."""
    out, log = tmp_path / "out", tmp_path / "calls"
    script = SCRIPT.format(path=sys.path, folder=str(teacher_and_data), out=str(out))
    calls = "trace=open,openat,creat,memfd_create,mknod,mknodat,link,linkat,symlink,truncate"
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-o", str(log)]
    # Nothing may be compiled on the way: what Python caches is its own business.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)}
    traced = subprocess.run(
        [*strace, sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    if "ptrace" in traced.stderr and not log.read_text():
        pytest.skip("this process may not trace another")
    assert traced.returncode == 0, traced.stderr
    written = set()
    for line in log.read_text().splitlines():
        opened = re.search(r"\bopen(at)?\(", line)
        reads = opened is not None and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE", line)
        if not reads and "= -1" not in line:
            written.update(re.findall(r"\"([^\"]*)\"", line))
    # Semaphores of Python's own lie in /dev/shm.
    places = (str(out), str(out.with_suffix(".scratch")), "/dev/null", "/dev/shm/sem.")
    assert (out / "profile.json").exists()
    assert {path for path in written if not path.startswith(places)} == set()


def peak_of(work: Callable[[], None]) -> int:
    """Bytes by which the memory of a forked process grows while it does this work."""
    read, write = os.pipe()

    def measured() -> None:
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        work()
        os.write(write, str(status("VmHWM") - before).encode())

    assert in_a_child(measured) == 0
    os.close(write)
    with os.fdopen(read) as pipe:
        return int(pipe.read())


def status(name: str) -> int:
    """A line of this process's status, in bytes."""
    text = Path("/proc/self/status").read_text()
    match = re.search(rf"{name}:\s*(\d+) kB", text)
    assert match is not None
    return int(match[1]) * resource.getpagesize() // 4


def save_teacher(folder: Path, width: int, layers: int, tokens: int) -> None:
    """A random teacher, and rows of so many tokens with answers that are not its own."""
    config = LlamaConfig(
        vocab_size=WORDS + 3,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=2 * tokens,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "teacher")
    tokenizer().save_pretrained(folder / "teacher")
    draw = random.Random(0)
    rows = [
        {"id": f"{row:016x}", "prompt": " ".join(draw.choices(words, k=tokens)), "answer": "w1 w2"}
        for words in [[f"w{word}" for word in range(WORDS)]]
        for row in range(150)
    ]
    (folder / "pilot.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    description = {"template": "{prompt} ", "stop": {"strings": [], "max_new_tokens": 2}}
    (folder / "dataset.json").write_text(json.dumps(description))


def test_memory_stays_within_teacher_one_batch_and_gram_matrices(tmp_path: Path) -> None:
    width, layers, tokens, batch_tokens = 192, 4, 100, 512
    save_teacher(tmp_path, width, layers, tokens)
    job = profile_job(
        tmp_path, tmp_path / "out", samples=120, pilot_samples=4, batch_tokens=batch_tokens
    )
    grown = peak_of(lambda: build(job))

    parameters = layers * 10 * width**2 + 2 * (WORDS + 3) * width
    # What every block makes of a token, with and without a gradient's copies: stream, queries,
    # keys, values, heads, three of the MLP; the ablation keeps the streams of one batch.
    of_token = 2 * 16 * width * layers
    batch = 4 * batch_tokens * of_token
    # Of each key layer sums, and what an eigendecomposition and a checkpoint copy of them.
    gram = layers * 8 * width**2 * 6
    bound = 2 * 4 * parameters + batch + gram + SLACK
    everything = 4 * 120 * tokens * 16 * width * layers
    assert grown < bound < everything / 2, (grown, bound, everything)
