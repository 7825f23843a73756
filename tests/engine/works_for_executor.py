"""Work functions that the executor's tests run in real children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


class UnreadableDataError(Exception):
    """An error of the project's own, worded for a person."""


def count_to_ten(job: Job) -> None:
    sys.stdout.write("to standard output\n")
    sys.stderr.write("to standard error\n")
    subprocess.run(["echo", "from a process"], check=True)
    for done in range(1, 11):
        job.progress(done, 10, loss=1 / done, phase="counting")
    facts = {
        "settings": job.settings,
        "seed": job.seed,
        "threads": job.threads,
        "cwd": str(Path.cwd()),
        "path": sys.path,
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "server": os.getppid(),
        "own_group": os.getpgid(0) == os.getpid(),
        "data": job.inputs["data"].read_text(),
    }
    (job.out / "facts.json").write_text(json.dumps(facts))


def measure(job: Job) -> None:
    job.measured(check_seconds=1.5, peak_bytes=7)
    job.measured(check_seconds=2.5)
    job.note("half of it is missing")
    job.note("and the rest is small")


def name_server(job: Job) -> None:
    (job.out / "server").write_text(str(os.getppid()))


def raise_what_settings_say(job: Job) -> None:
    kinds: dict[str, BaseException] = {
        "project": UnreadableDataError(
            "data/a.jsonl:3: no `answer`\n    Add one, or drop the row."
        ),
        "value": ValueError("rank 0 is not possible"),
        "key": KeyError("loss"),
        "file": FileNotFoundError(2, "No such file or directory", "teacher/config.json"),
        "memory": MemoryError(),
        "exit": SystemExit(3),
        "assertion": AssertionError(),
    }
    raise kinds[job.settings["kind"]]


def leave_without_a_word(job: Job) -> None:
    os._exit(job.settings["status"])


def crash(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def wait_with_a_process(job: Job) -> None:
    """Starts a process, names both in the figures of a progress event, and waits."""
    process = subprocess.Popen(["sleep", "600"])
    job.progress(0, 1, child=str(os.getpid()), grandchild=str(process.pid))
    time.sleep(600)


def leave_a_process_behind(job: Job) -> None:
    process = subprocess.Popen(["sleep", "600"])
    (job.out / "pid").write_text(str(process.pid))


def save_when_told_to_stop(job: Job) -> None:
    def save(signum: int, frame: FrameType | None) -> None:
        (job.scratch / "saved").write_text("all of it")
        sys.exit(1)

    signal.signal(signal.SIGTERM, save)
    job.progress(0, 1)
    time.sleep(600)


def never_stop(job: Job) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job.progress(0, 1)
    time.sleep(600)


def await_usr1(job: Job) -> None:
    received: list[int] = []
    signal.signal(signal.SIGUSR1, lambda signum, frame: received.append(signum))
    job.progress(0, 1)
    while not received:
        signal.sigtimedwait([], 0.01)


def await_file(job: Job) -> None:
    """Ends when the file appears; knows nothing of signals."""
    job.progress(0, 1)
    while not (job.scratch / "go").exists():
        time.sleep(0.01)


def use_memory(job: Job) -> None:
    data = bytearray(job.settings["bytes"])
    for place in range(0, len(data), 4096):
        data[place] = 1


def note_times(job: Job) -> None:
    begin = time.monotonic()
    time.sleep(0.1)
    (job.out / "times").write_text(json.dumps([begin, time.monotonic()]))
