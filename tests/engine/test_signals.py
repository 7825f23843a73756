"""Ctrl-C and SIGTERM: children are stopped, what is finished is kept, the exit code is 130."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from test_kills import Builder, children_of, declare, make, rubbish
from toy_project import Toy

from nexusbuild.errors import INTERRUPTED

STUBBORN = """
import signal
import subprocess
import time


def work(job):
    signal.signal(signal.SIGTERM, lambda number, frame: (job.scratch / "asked").touch())
    process = subprocess.Popen(["sleep", "60"])
    (job.scratch / "process").write_text(str(process.pid))
    while not (job.scratch / "asked").exists():
        time.sleep(0.01)
    raise SystemExit("stopped, as it was asked to")
"""


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_children_and_keeps_what_is_finished(
    toy: Toy, number: signal.Signals
) -> None:
    toy.write("toy/mine.py", STUBBORN)
    toy.target("quick")
    toy.target("long", work="toy.mine:work", inputs={"quick": "quick"})
    builder = Builder(toy)
    while not list(toy.folder.glob(".nexus/scratch/*/process")):
        assert not builder.ended(), builder.said()
        time.sleep(0.02)
    server = builder.server()
    assert server is not None
    [child] = children_of(server)
    [noted] = toy.folder.glob(".nexus/scratch/*/process")
    os.kill(builder.pid, number)
    assert builder.wait() == INTERRUPTED
    assert "Traceback" not in builder.said()
    # The child, which was asked and not killed, what it had started, and the server.
    assert (noted.parent / "asked").exists()
    for process in (child, int(noted.read_text()), server):
        limit = time.monotonic() + 10
        while not gone(process):
            assert time.monotonic() < limit, process
            time.sleep(0.02)
    # Its log ends with what that means, and shows no defect where there is none.
    log = (toy.folder / "build/logs/long.log").read_text()
    assert log.splitlines()[-1].startswith("== stopped; the next build goes on from its last check")
    assert "Traceback" not in log
    assert toy.plan() == {"quick": "fresh", "long": "stale"}
    assert toy.run("log").stdout.count("\n") >= 1


def test_what_is_meant_for_training_does_not_end_a_builder_that_trains_nothing_yet(
    toy: Toy,
) -> None:
    toy.write(
        "toy/disturbed.py",
        "import os, signal\n"
        "from toy.resolver import resolve as undisturbed\n\n\n"
        "def resolve(spec, lock_values):\n"
        "    for number in (signal.SIGUSR1, signal.SIGUSR2):\n"
        "        os.kill(os.getpid(), number)\n"
        "    return undisturbed(spec, lock_values)\n",
    )
    toy.target("one")
    assert toy.plan("--resolver", "toy.disturbed:resolve") == {"one": "stale"}
    assert toy.built("--resolver", "toy.disturbed:resolve") == {"one"}


def test_the_log_of_what_was_stopped_holds_its_last_words(toy: Toy) -> None:
    toy.write(
        "toy/mine.py",
        "import signal\nimport time\n\n\n"
        "class StoppedError(Exception):\n    pass\n\n\n"
        "def work(job):\n"
        "    heard = []\n"
        "    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))\n"
        "    (job.scratch / 'begun').touch()\n"
        "    while not heard:\n"
        "        time.sleep(0.01)\n"
        "    raise StoppedError('stopped after step 7')\n",
    )
    toy.target("long", work="toy.mine:work")
    builder = Builder(toy)
    while not list(toy.folder.glob(".nexus/scratch/*/begun")):
        assert not builder.ended(), builder.said()
        time.sleep(0.02)
    os.kill(builder.pid, signal.SIGTERM)
    assert builder.wait() == INTERRUPTED
    first, *rest = (toy.folder / "build/logs/long.log").read_text().splitlines()
    assert "toy.mine:work" in first
    assert rest == [
        "== stopped after step 7",
        "== stopped; the next build goes on from its last checkpoint, if it wrote one",
    ]


def test_nohup_is_respected(toy: Toy) -> None:
    toy.target("slow", work="toy.works:slow", settings={"seconds": 0.5})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        builder = Builder(toy)
    finally:
        signal.signal(signal.SIGHUP, before)
    while not list(toy.folder.glob(".nexus/scratch/*/step")):
        time.sleep(0.02)
    os.kill(builder.pid, signal.SIGHUP)
    assert builder.wait() == 0, builder.said()
    assert toy.plan() == {"slow": "fresh"}


def test_signals_at_random_moments(folder_in_memory: Path) -> None:
    undisturbed = Toy(make(folder_in_memory / "undisturbed"))
    declare(undisturbed)
    expected = undisturbed.digests()
    toy = Toy(make(folder_in_memory / "interrupted"))
    declare(toy)
    draw = random.Random(3)
    for turn in range(12):
        builder = Builder(toy)
        while not (toy.folder / ".nexus/lock").exists():
            time.sleep(0.005)
        time.sleep(0.05 + draw.uniform(0.0, 0.5))
        if not builder.ended():
            os.kill(builder.pid, draw.choice([signal.SIGINT, signal.SIGTERM]))
        ended = builder.wait()
        assert ended in (0, INTERRUPTED), builder.said()
        assert "Traceback" not in builder.said(), builder.said()
        if ended == 0:
            toy.write("words.txt", f"other words {turn}")
    toy.write("words.txt", "some words")
    assert toy.digests() == expected
    assert rubbish(toy.folder) == []
