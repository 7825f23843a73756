"""Work for toy targets. Every one of them is a function of its job and nothing else."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from toy.words import joined

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def join(job: Job) -> None:
    """out.txt: all that was read; fixed.txt: only what the setting `fixed` says."""
    (job.out / "out.txt").write_text(joined(read(job)))
    (job.out / "fixed.txt").write_text(str(job.settings.get("fixed", "")))


def first_letters(job: Job) -> None:
    """out.txt: only the first letter of all that was read, so that most edits end here."""
    (job.out / "out.txt").write_text("".join(text[:1] for text in read(job)))


def slow(job: Job) -> None:
    """As `join`, with a checkpoint per tenth; a second life goes on from the last."""
    path = job.scratch / "step"
    step = int(path.read_text()) if path.exists() else 0
    print(f"from step {step}")
    while step < 10:
        time.sleep(job.settings.get("seconds", 1.0) / 10)
        step += 1
        temporary = job.scratch / "step.new"
        temporary.write_text(str(step))
        temporary.replace(path)
        job.progress(step, 10)
    join(job)


def no_room_left(job: Job) -> None:
    """As where a disk is full; `kind` is how it is said: by Python, or by another's library."""
    if job.settings["kind"] == "library":
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.out / "out.txt"))


def judge(job: Job) -> None:
    """verdict.json: whether the length of what was read reaches `at_least`."""
    length = sum(len(text) for text in read(job)[1:])
    verdict = "pass" if length >= job.settings["at_least"] else "fail"
    summary = f"{length} characters of {job.settings['at_least']}"
    (job.out / "verdict.json").write_text(json.dumps({"verdict": verdict, "summary": summary}))


def release(job: Job) -> None:
    """<name>/all.txt and next to it <name>.txt."""
    name = job.settings["name"]
    (job.out / name / "deep").mkdir(parents=True)
    (job.out / name / "deep" / "all.txt").write_text(joined(read(job)))
    (job.out / f"{name}.txt").write_text("beside")


class WrongSourceError(ValueError):
    """The data are at fault."""

    exit_code = 2


def refuse(job: Job) -> None:
    raise WrongSourceError(f"row 7 is no row, says {job.target}")


def fail(job: Job) -> None:
    raise ValueError(f"no luck with {job.target}")


def nothing(job: Job) -> None:
    """Writes no file at all."""


def link_out(job: Job) -> None:
    (job.out / "link").symlink_to("/etc/hostname")


def spoil_input(job: Job) -> None:
    path = next(iter(job.inputs.values())) / "out.txt"
    path.chmod(0o644)
    path.write_text("spoilt")
    join(job)


def kill_itself(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def random(job: Job) -> None:
    (job.out / "out.txt").write_text(os.urandom(8).hex())


def read(job: Job) -> list[str]:
    """Settings (without those that only steer the work), inputs, sources; in order of role."""
    steering = ("seconds", "at_least", "fixed", "name")
    settings = {name: job.settings[name] for name in job.settings if name not in steering}
    texts = [json.dumps(settings, sort_keys=True)]
    for path in [*job.inputs.values(), *job.sources.values()]:
        texts += [file.read_text() for file in files(path)]
    return texts


def files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
