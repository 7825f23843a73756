"""kill -9 at random moments: of the builder, of a child, of the fork server.

Whatever was finished is kept, nothing half-made is taken for whole, and the next build just works.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from toy_project import Toy

KILLS = 200
KILLS_PER_STORE = 20
LONGEST_LIFE = 0.8  # seconds after which a builder is killed at the latest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes through /proc"
)


def declare(toy: Toy) -> None:
    """Twelve targets in three chains with checkpoints, what reads them all, and a release."""
    toy.write("words.txt", "some words")
    targets = toy.spec["targets"] = {}
    targets["data"] = {"sources": {"words": "words.txt"}, "settings": {"fixed": "x"}}
    for chain in ("left", "middle", "right"):
        for number in range(4):
            before = f"{chain}:{number - 1}" if number else "data"
            targets[f"{chain}:{number}"] = {
                "work": "toy.works:slow",
                "inputs": {"before": before},
                "settings": {"seconds": 0.03},
            }
    ends = {chain: f"{chain}:3" for chain in ("left", "middle", "right")}
    targets["gate"] = {
        "work": "toy.works:judge", "inputs": ends, "settings": {"at_least": 1},
        "verdict": "verdict.json",
    }  # fmt: skip
    targets["release"] = {
        "work": "toy.works:release", "inputs": {**ends, "gate": "gate"},
        "settings": {"name": "product"}, "release": True, "pin": None,
    }  # fmt: skip
    toy.save()


class Builder:
    """A nexusbuild that runs next to the test."""

    def __init__(self, toy: Toy, *arguments: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed when it is read)
        self.pid = toy.forked(list(arguments), self._errors.fileno(), self._errors.fileno())
        self.status: int | None = None

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def wait(self) -> int:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def server(self) -> int | None:
        return next(iter(children_of(self.pid)), None)


def children_of(process: int) -> list[int]:
    """Those of its children that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if int(parent) == process and state != "Z":
                found.append(int(entry.name))
    return found


def everything_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rubbish(folder: Path) -> list[Path]:
    """What is left of unfinished business. Checkpoints of what nobody wants now stay until gc."""
    store = folder / ".nexus"
    found = [*(store / "runs").iterdir(), *(store / "tmp").iterdir()]
    checkpoints = (store / "scratch").iterdir()
    found += [path for path in checkpoints if (store / "actions" / f"{path.name}.json").exists()]
    for place in (folder / "build", folder / "dist", folder):
        found += [path for path in place.rglob(".*.new") if ".nexus" not in path.parts]
        found += [path for path in place.rglob(".*.old") if ".nexus" not in path.parts]
    return found


def kill(what: str, builder: Builder, draw: random.Random) -> bool:
    """Kill it at a random moment of its life; False where the build was over before."""
    if what == "builder":
        time.sleep(draw.uniform(0.0, LONGEST_LIFE))
        if builder.ended():
            return False
        os.kill(builder.pid, signal.SIGKILL)
        builder.wait()
        return True
    victims: list[int] = []
    while not victims and not builder.ended():
        time.sleep(draw.uniform(0.0, 0.03))
        server = builder.server()
        if server is not None:
            victims = [server] if what == "server" else children_of(server)
    try:
        if victims:
            os.kill(draw.choice(victims), signal.SIGKILL)
    except ProcessLookupError:  # it has just ended by itself
        return False
    return bool(victims)


def test_the_next_builder_waits_for_the_children_of_a_killed_one(toy: Toy) -> None:
    """Where the server could not end its children, nothing else works in the store next to them."""
    toy.target("slow", work="toy.works:slow", settings={"seconds": 1.0})
    killed = Builder(toy)
    while not list(toy.folder.glob(".nexus/scratch/*/step")):
        time.sleep(0.02)
    server = killed.server()
    assert server is not None
    [child] = children_of(server)
    os.kill(server, signal.SIGSTOP)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    follower = Builder(toy)
    while child in children_of(server):
        assert not follower.ended()
        assert "from step" in (log := (toy.folder / "build/logs/slow.log").read_text())
        assert log.count("from step") == 1
        time.sleep(0.02)
    assert follower.wait() == 0, follower.said()
    assert "waiting for the last child of another nexusbuild that was killed" in follower.said()
    os.kill(server, signal.SIGKILL)
    assert toy.build() == {"slow": "fresh"}


@pytest.mark.slow
def test_two_hundred_kills(folder_in_memory: Path) -> None:
    undisturbed = Toy(make(folder_in_memory / "undisturbed"))
    declare(undisturbed)
    expected = undisturbed.digests()
    released = everything_below(undisturbed.folder / "dist")
    draw = random.Random(11)
    killed: collections.Counter[str] = collections.Counter()
    stores = 0
    while killed.total() < KILLS:
        stores += 1
        toy = Toy(make(folder_in_memory / f"store{stores}"))
        declare(toy)
        wanted = killed.total() + KILLS_PER_STORE
        while killed.total() < wanted:
            builder = Builder(toy, "--keep-going")
            while not builder.ended() and killed.total() < wanted:
                what = draw.choice(["builder", "server", "child"])
                killed[what] += kill(what, builder, draw)
            if builder.wait() == 0:
                # All done before the next kill: there is more to do.
                toy.write("words.txt", f"other words {killed.total()}")
            else:
                assert builder.wait() in (1, -signal.SIGKILL), builder.said()
            assert "Traceback" not in builder.said(), builder.said()
        toy.write("words.txt", "some words")
        assert toy.digests() == expected
        assert everything_below(toy.folder / "dist") == released
        assert set(toy.plan().values()) == {"fresh"}
        assert rubbish(toy.folder) == []
        assert toy.run("doctor", "--verify-store").returncode == 0
    assert killed["builder"] > 20 and killed["server"] > 20 and killed["child"] > 20, killed


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder
