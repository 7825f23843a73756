"""Nothing finished is lost, nothing half-made is taken for whole, the next build just works."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project import Toy


def wide(toy: Toy, seconds: float = 0.05) -> None:
    """Two chains of four targets with checkpoints, and one target that reads both."""
    toy.spec["targets"] = {
        f"{chain}:{number}": {
            "work": "toy.works:slow",
            "inputs": {"before": f"{chain}:{number - 1}"} if number else {},
            "settings": {"seconds": seconds},
        }
        for chain in ("left", "right")
        for number in range(4)
    }
    toy.spec["targets"]["end"] = {"inputs": {"a": "left:3", "b": "right:3"}}
    toy.save()


def test_kill_at_any_moment(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> None:
    undisturbed = Toy(tmp_path_factory.mktemp("undisturbed"))
    wide(undisturbed)
    expected = undisturbed.digests()
    wide(toy)
    draw = random.Random(5)
    for _ in range(6):
        process = toy.start()
        time.sleep(draw.uniform(0.2, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert toy.digests() == expected
    assert set(toy.build().values()) == {"fresh"}
    assert list((toy.folder / ".nexus/runs").iterdir()) == []
    assert list((toy.folder / ".nexus/scratch").iterdir()) == []


def test_interruption_keeps_what_is_finished(toy: Toy) -> None:
    toy.target("quick")
    toy.target("slow", work="toy.works:slow", settings={"seconds": 20}, inputs={"quick": "quick"})
    toy.target("after", inputs={"slow": "slow"})
    process = toy.start("--json")
    log = toy.folder / "build/logs/slow.log"
    _wait_for(lambda: log.exists())
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    document = json.loads(out)
    assert document["exit_code"] == 130
    assert {each["id"]: each["state"] for each in document["targets"]} == {
        "quick": "built",
        "slow": "skipped",
        "after": "skipped",
    }
    assert toy.plan() == {"quick": "fresh", "slow": "stale", "after": "stale"}


def test_work_goes_on_from_its_checkpoint(toy: Toy) -> None:
    toy.target("slow", work="toy.works:slow", settings={"seconds": 3.0})
    process = toy.start()
    _wait_for(lambda: _checkpoint(toy) >= 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = _checkpoint(toy)
    assert toy.built() == {"slow"}
    log = (toy.folder / "build/logs/slow.log").read_text()
    lives = [int(step) for step in re.findall("from step ([0-9]+)", log)]
    assert lives[0] == 0 and lives[1] >= reached


def _checkpoint(toy: Toy) -> int:
    found = list((toy.folder / ".nexus/scratch").glob("*/step"))
    return int(found[0].read_text() or 0) if found else 0


def test_the_second_builder_waits_and_says_for_what(toy: Toy) -> None:
    wide(toy, seconds=0.2)
    one = toy.start("--json")
    _wait_for(lambda: (toy.folder / "build/logs").exists())
    other = toy.start("--json")
    out_one, errors_one = one.communicate(timeout=60)
    out_other, errors_other = other.communicate(timeout=60)
    assert one.returncode == other.returncode == 0, errors_one + errors_other
    states = [
        {each["state"] for each in json.loads(out)["targets"]} for out in (out_one, out_other)
    ]
    assert states == [{"built"}, {"fresh"}]
    assert f"process {one.pid}" in errors_other


def test_truncated_record_counts_as_missing(chain: Toy) -> None:
    expected = chain.digests()
    for path in (chain.folder / ".nexus/actions").iterdir():
        text = path.read_text()
        path.write_text(text[: len(text) // 2])
    document = chain.json("-n")
    assert document["summary"]["stale"] == len(expected)
    assert any("record of step:a is damaged" in note for note in document["notes"])
    assert chain.digests() == expected
    assert set(chain.build().values()) == {"fresh"}


def test_corrupted_object_is_found_and_made_again(chain: Toy) -> None:
    expected = chain.digests()
    _spoil(chain.folder / "build/step/a/out.txt")
    chain.settings("step:b", fixed="read a again")
    chain.build()
    chain.settings("step:b", fixed="")
    assert chain.digests() == expected
    # Spoilt so that its stat tells nothing: found where every byte is read.
    path = _spoil(chain.folder / "build/step/b/out.txt", hide=True)
    done = chain.run("doctor", "--verify-store")
    assert done.returncode == 1
    assert "step:b: out.txt was damaged" in done.stdout
    assert not path.exists()
    _spoil(chain.folder / "build/gate/b/verdict.json", hide=True)
    document = chain.json("--force", "release")
    assert any("damaged" in note for note in document["notes"])
    assert document["exit_code"] == 0
    assert chain.digests() == expected


def _spoil(view: Path, hide: bool = False) -> Path:
    path = view.resolve()
    stat = path.stat()
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    path.chmod(0o444)
    if hide:
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    return path


def test_a_store_copied_without_its_times_is_as_good(chain: Toy) -> None:
    expected = chain.digests()
    for path in (chain.folder / ".nexus/objects").iterdir():
        os.utime(path)
    assert set(chain.plan().values()) == {"fresh"}
    assert chain.digests() == expected


def test_source_that_changes_meanwhile_is_noticed(toy: Toy) -> None:
    toy.write("words.txt", "before")
    toy.target(
        "slow", work="toy.works:slow", settings={"seconds": 1.0}, sources={"words": "words.txt"}
    )
    process = toy.start()
    _wait_for(lambda: _checkpoint(toy) >= 2)
    toy.write("words.txt", "after it began")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "words.txt changed while the build was running" in errors
    assert toy.built() == {"slow"}
    assert "after it began" in toy.text("slow")


def test_full_disk(toy: Toy) -> None:
    """A file size limit stands in for a full disk: the store's writes fail in the middle."""
    toy.target("a")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@" 2>/dev/null', "-", *toy.command("--json")],
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert toy.built() == {"a"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_store(built: Toy) -> None:
    (built.folder / ".nexus").chmod(0o500)
    assert set(built.plan().values()) == {"fresh"}
    assert "cannot be written" in built.run().stderr


def test_unreproducible_work_is_recorded_as_it_came_out(toy: Toy) -> None:
    toy.target("dice", work="toy.works:random")
    toy.target("reader", inputs={"dice": "dice"})
    toy.build()
    toy.build("--force", "dice")
    assert set(toy.plan().values()) == {"fresh"}
    (toy.folder / "build/dice/out.txt").resolve().unlink()
    toy.settings("reader", fixed="again")
    document = toy.json()
    assert any("not reproducible" in note for note in document["notes"])
    toy.build()
    assert set(toy.plan().values()) == {"fresh"}


def test_a_newer_store_is_refused(built: Toy) -> None:
    (built.folder / ".nexus/format").write_text("99\n")
    done = built.run("-n")
    assert done.returncode == 2
    assert "format 99" in done.stderr


def _wait_for(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.02)


assert sys.platform != "win32"
