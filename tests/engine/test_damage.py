"""Damage to a store and to a project: found, named and repaired, whichever file it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_faults import build, declare, digests, make
from test_kills import everything_below
from toy_project import Toy


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"\xff\x00{]" + path.read_bytes()[4:])


def scalar(path: Path) -> None:
    path.chmod(0o644)
    path.write_text("3\n3\n")


HARMS = (halve, empty, noise, scalar, Path.unlink)


@pytest.mark.parametrize("first", range(2))
def test_any_file_of_the_store_may_be_damaged(folder_in_memory: Path, first: int) -> None:
    """Each file in turn; which harm is done to which differs from one round to the next."""
    toy = Toy(make(folder_in_memory / f"damaged{first}"))
    declare(toy)
    expected = digests(build(toy))
    released = everything_below(toy.folder / "dist")
    store = toy.folder / ".nexus"
    names = sorted(
        path.relative_to(store) for path in store.rglob("*") if path.is_symlink() or path.is_file()
    )
    assert len(names) > 15
    for place, name in enumerate(names):
        path = store / name
        if not os.path.lexists(path):
            continue  # a build before this made another in its place
        harm = Path.unlink if path.is_symlink() else HARMS[(first + place) % len(HARMS)]
        harm(path)
        plan = toy.run("-n")
        assert plan.returncode == 0 and "Traceback" not in plan.stderr, (name, harm, plan.stderr)
        ending = build(toy)
        assert "Traceback" not in ending.said, (name, harm, ending.said)
        assert digests(ending) == expected, (name, harm)
        assert everything_below(toy.folder / "dist") == released, (name, harm)


def spoil(path: Path) -> None:
    """Change a byte so that no stat shows it."""
    before = path.stat()
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    path.chmod(0o444)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def test_making_it_again_repairs_it(built: Toy) -> None:
    """Also where the same bytes come out, and the stat of the damaged file tells nothing."""
    expected = built.digests()
    spoil((built.folder / "build/step/a/out.txt").resolve())
    built.build("--force", "step:a", "step:a")
    assert built.run("doctor", "--verify-store").returncode == 0
    assert built.digests() == expected


@pytest.mark.parametrize("harm", [spoil, Path.unlink])
def test_a_release_from_history_is_whole(built: Toy, harm: Callable[[Path], None]) -> None:
    """An edit undone brings back a release: every byte of it is read before it goes to dist/."""
    released = everything_below(built.folder / "dist")
    harm((built.folder / "build/release/product/deep/all.txt").resolve())
    built.settings("step:b", fixed="another release")
    built.build()
    assert everything_below(built.folder / "dist") != released
    del built.spec["targets"]["step:b"]["settings"]
    built.save()
    assert built.plan()["release"] == ("cached" if harm is spoil else "stale")
    document = built.json()
    assert any("was damaged" in note for note in document["notes"]) or harm is Path.unlink
    assert everything_below(built.folder / "dist") == released
    assert set(built.plan().values()) == {"fresh"}


def test_a_linked_output_leaves_the_other_file_alone(toy: Toy) -> None:
    source = toy.write("words.txt", "some words")
    toy.write(
        "toy/mine.py",
        "import os\n\n\ndef work(job):\n    os.link(job.sources['words'], job.out / 'out.txt')\n",
    )
    toy.target("a", work="toy.mine:work", sources={"words": "words.txt"})
    assert toy.built() == {"a"}
    assert source.stat().st_nlink == 1
    assert os.access(source, os.W_OK) and source.stat().st_mode & 0o200
    source.write_text("other words")
    assert toy.text("a") == "some words"


def may_mount() -> bool:
    done = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)
    return done.returncode == 0


on_its_own_disk = pytest.mark.skipif(
    shutil.which("unshare") is None or not may_mount(),
    reason="needs a mount namespace, which this machine does not grant",
)

WIDE = """
def work(job):
    (job.out / "large.bin").write_bytes(job.target.encode() * 20_000)
"""

# In a namespace of its own: a disk too small for the build, and then a larger one; the same disk
# read-only, and then not. $1: the disk, $2: the project; the rest is the command.
SCRIPT = """
set -e
disk=$1 project=$2; shift 2
mount -t tmpfs -o size=100k tmpfs "$disk"
cp -r "$project/." "$disk"
cd "$disk"
for size in 100 250 450 700; do
    mount -o remount,size=${size}k tmpfs "$disk"
    "$@" >> out.txt 2>> /dev/stderr && echo "whole at ${size}k" >&2 || echo "ended with $?" >&2
done
mount -o remount,size=50m tmpfs "$disk"
mount -o remount,ro tmpfs "$disk"
"$@" -n --json > /dev/null
"$@" >&2 || echo "read-only: $?" >&2
mount -o remount,rw tmpfs "$disk"
"$@" --json
"""


@on_its_own_disk
def test_a_full_and_a_read_only_disk(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> None:
    toy.write("toy/mine.py", WIDE)
    for name in ("kind:a", "kind:b", "kind:c"):
        toy.target(name, work="toy.mine:work")
    toy.target("release", work="toy.works:release", inputs={}, settings={"name": "x"}, release=True)
    expected = toy.digests()
    for name in (".nexus", "build", "dist"):
        shutil.rmtree(toy.folder / name)
    disk = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SCRIPT, "-", disk, toy.folder, *toy.command()],
        env={**toy.environment, "PYTHONPATH": f"{disk}:{toy.environment['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "o space left on" in done.stderr and "ended with 1" in done.stderr, done.stderr
    assert "cannot be written: Read-only file system" in done.stderr
    assert "read-only: 2" in done.stderr
    found = {
        each["id"]: {output["path"]: output["sha256"] for output in each["outputs"]}
        for each in json.loads(done.stdout)["targets"]
    }
    assert found == expected
