"""Faults at every single step of a build: killed there, or the disk full from there on.

A step is an operation that changes the file system. The builder works in this very process, so that
every step of it can be struck; what happens to children is tested with `test_kills.py`.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from inline import InlineExecutor
from test_kills import everything_below, make, rubbish
from toy_project import Toy

# As Python's audit events call them; an `open` counts where it is to write.
STEPS = {
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate", "os.utime",
}  # fmt: skip
# What a full disk refuses.
NEEDS_ROOM = {"os.link", "os.mkdir", "os.rename", "os.symlink"}
TOO_MANY = 2000
REFUSED = re.compile("o space left on|cannot be written|Read-only file system")


class Ending(NamedTuple):
    """struck: whether a fault was met. out: what its JSON says, if it got that far."""

    struck: bool
    status: int
    out: str
    said: str


def no_fault(event: str) -> None:
    pass


def build(toy: Toy, fault: Callable[[str], None] = no_fault, number: int = 0) -> Ending:
    """A build in a process of its own, in which every step from this one on meets the fault."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            count = itertools.count()

            def hook(event: str, arguments: tuple[Any, ...]) -> None:
                if _is_step(event, arguments) and next(count) >= number:
                    os.write(writing, b"!")
                    fault(event)

            run = "nexusbuild.process.executor.LocalExecutor"
            pytest.MonkeyPatch().setattr(run, lambda *_, **__: InlineExecutor(toy.folder))
            sys.addaudithook(hook)
            toy.become_nexusbuild(["--json"], out.fileno(), errors.fileno())
        os.close(writing)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for stream in (out, errors):
            stream.seek(0)
        with os.fdopen(reading, "rb") as marks:
            return Ending(bool(marks.read()), status, out.read(), errors.read())


def _is_step(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        path, _, flags = arguments
        return not isinstance(path, int) and bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
    return event in STEPS


def kill(event: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_room(event: str) -> None:
    if event == "open" or event in NEEDS_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


def read_only(event: str) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "somewhere")


def declare(toy: Toy) -> None:
    """A source, a pinned target, a verdict and a release."""
    toy.write("words.txt", "some words")
    toy.spec["targets"] = {
        "data": {"sources": {"words": "words.txt"}, "pin": "data"},
        "gate": {
            "work": "toy.works:judge", "inputs": {"a": "data#out.txt"},
            "settings": {"at_least": 1}, "verdict": "verdict.json",
        },
        "release": {
            "work": "toy.works:release", "inputs": {"gate": "gate"},
            "settings": {"name": "product"}, "release": True,
        },
    }  # fmt: skip
    toy.save()


def digests(ending: Ending) -> dict[str, dict[str, str]]:
    """target -> output -> digest, of a build that went well."""
    assert ending.status == 0, ending.said
    return {
        each["id"]: {output["path"]: output["sha256"] for output in each["outputs"]}
        for each in json.loads(ending.out)["targets"]
    }


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "every"), [(kill, 3), (no_room, 5), (read_only, 9)])
def test_a_fault_at_any_step(
    folder_in_memory: Path, fault: Callable[[str], None], every: int
) -> None:
    """every: at one step of so many, to be quick; it holds at each of them."""
    toy = Toy(make(folder_in_memory / fault.__name__))
    declare(toy)
    expected = digests(build(toy))
    released = everything_below(toy.folder / "dist")
    for number in range(0, TOO_MANY, every):
        for place in (".nexus", "build", "dist"):
            shutil.rmtree(toy.folder / place, ignore_errors=True)
        (toy.folder / "nexus.lock").unlink(missing_ok=True)
        ending = build(toy, fault, number)
        if not ending.struck:
            break
        if fault is kill:
            assert ending.status == -signal.SIGKILL
        else:
            assert ending.status in (0, 1, 2), ending
            assert "Traceback" not in ending.said, ending.said
            assert ending.status == 0 or REFUSED.search(ending.said), ending
        assert digests(build(toy)) == expected, number
        assert everything_below(toy.folder / "dist") == released
        assert rubbish(toy.folder) == []
    assert 50 < number < TOO_MANY


@pytest.mark.parametrize("kind", ["python", "library"])
def test_work_that_finds_the_disk_full_is_told_what_to_do(toy: Toy, kind: str) -> None:
    toy.target("a:it", work="toy.works:no_room_left", settings={"kind": kind})
    ended = toy.run()
    assert ended.returncode == 1
    said = " ".join(ended.stderr.split())
    assert "no space left on the disk" in said
    assert "keep the store on another disk (`--store PATH`)" in said
    assert "Traceback" not in said
