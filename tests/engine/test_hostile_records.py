"""Stores that were copied whole from someone: their records, links and logs are read, and obeyed in
nothing. What is ill-typed is a note; what would lead elsewhere is refused; nothing is a traceback.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from forged import make_long, rewrite
from test_kills import everything_below
from toy_project import Toy

from nexusbuild.digest.keys import sha256_text
from nexusbuild.digest.statcache import read_values
from nexusbuild.errors import BuildError
from nexusbuild.rule.names import fault_in_path, printable
from nexusbuild.store import beneath
from nexusbuild.store.beneath import Folder

COMMANDS = (
    ["--dry-run"],
    ["ls"],
    ["why", "*"],
    ["why", "*", "--against", "1"],
    ["log"],
    ["log", "1"],
    ["diff", "1", "1"],
    ["gc", "--dry-run"],
    ["graph"],
    ["store", "export", "*", "out.tar"],
    [],
    ["doctor", "--verify-store"],
)


def survives(toy: Toy) -> str:
    """Every command ends with words; what they say."""
    said = []
    for command in COMMANDS:
        done = toy.run(*command)
        assert done.returncode in (0, 1, 2), (command, done)
        assert "Traceback" not in done.stderr + done.stdout, (command, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr
        said.append(done.stdout + done.stderr)
    return "\n".join(said)


def set_to(value: Any, *names: str | int) -> Callable[[dict[str, Any]], object]:
    def change(raw: Any) -> None:
        for name in names[:-1]:
            raw = raw[name]
        raw[names[-1]] = value

    return change


ILL_TYPED = {
    "seconds": set_to("long", "provenance", "seconds"),
    "dates": set_to("yesterday", "provenance", "finished"),
    "a date without a zone": set_to("2026-01-01T00:00:00", "provenance", "finished"),
    "measured": set_to({"x": "much"}, "provenance", "measured"),
    "notes": set_to({"x": 1}, "provenance", "notes"),
    "notes that are orders": set_to(["\x1b[2J\x1b]0;owned\x07"], "provenance", "notes"),
    "libraries": set_to(["torch"], "provenance", "libraries"),
    "accepted": set_to([{"when": 3}], "provenance", "accepted"),
    "imported": set_to("yes", "provenance", "imported"),
    "verdict": set_to("pass", "verdict"),
    "a verdict of no kind": set_to({"verdict": "surely"}, "verdict"),
    "settings": set_to([], "settings"),
    "inputs": set_to({"data": {"reference": 3, "digest": "x", "key": None}}, "inputs"),
    "modules": set_to({"a": 1}, "code", "modules"),
    "libraries of code": set_to(3, "code", "libraries"),
    "work": set_to("os:system;x", "work"),
    "outputs": set_to([3], "outputs"),
    "a path out": set_to("../../../../.bashrc", "outputs", 0, "path"),
    "a path to a terminal": set_to("\x1b]0;x\x07", "outputs", 0, "path"),
    "a size": set_to(1 << 80, "outputs", 0, "bytes"),
    "another target": set_to("step:b", "target"),
    "half a character": set_to("\ud800", "provenance", "odd"),
}


@pytest.mark.parametrize("part", range(4))
def test_ill_typed_records_are_notes(built: Toy, part: int) -> None:
    """Each change in the record of another target."""
    before = everything_below(built.folder.parent).keys()
    changes = dict(list(ILL_TYPED.items())[part::4])
    assert len(changes) <= len(built.spec["targets"])
    harmed = list(built.spec["targets"])[: len(changes)]
    for target, change in zip(harmed, changes.values(), strict=True):
        rewrite(built, change, target)
    for command in (["--dry-run"], ["ls"], ["why", *harmed]):
        done = built.run(*command)
        said = " ".join((done.stdout + done.stderr).split())
        for target in harmed:
            assert f"the record of {target} is damaged: " in said, (changes, said)
        assert "treated as not built" in said
    plan = built.plan()
    assert all(plan[target] in ("stale", "maybe") for target in harmed)
    built.build()
    assert set(built.plan().values()) == {"fresh"}
    outside = everything_below(built.folder.parent).keys() - before
    assert all(name.startswith(built.folder.name) for name in outside), outside


def with_a_name_twice(path: Path) -> bytes:
    line = path.read_text().partition('",')[2].replace('"verdict"', '"key":"x","verdict"').strip()
    return f'{{"sha256":"{sha256_text("{" + line)}",{line}'.encode()


def test_records_that_are_none(built: Toy) -> None:
    current = built.folder / ".nexus/current"
    paths = {target: (current / target).resolve() for target in built.spec["targets"]}
    harms = (
        b"[]",
        b"",
        b"[" * 100_000,
        b'{"sha256":"' + b"0" * 64 + b'",' + b"1" * 100_000,
        b"\xff\xfe" * 100,
        with_a_name_twice(paths["release"]),
    )
    for path, content in zip(paths.values(), harms, strict=True):
        path.chmod(0o644)
        path.write_bytes(content)
    plan = " ".join(built.run("--dry-run").stdout.split())
    for target in paths:
        assert f"{target} is damaged" in plan
    survives(built)
    assert set(built.plan().values()) == {"fresh"}


def test_pipes_and_links_where_files_were(built: Toy) -> None:
    """A reader of a pipe would wait until it is killed."""
    store = built.folder / ".nexus"
    record = (store / "current/step:a").resolve()
    secret = built.folder.parent / "secret"
    secret.write_text("secret")
    for path in [record, store / "sources.json", store / "format", *(store / "builds").iterdir()]:
        path.unlink()
        os.mkfifo(path)
    for path in (store / "cache").iterdir():
        path.unlink()
        os.mkfifo(path)
    victim = next((store / "objects").iterdir())
    victim.unlink()
    victim.symlink_to(secret)
    assert "secret" not in survives(built)
    assert secret.read_text() == "secret"
    assert set(built.plan().values()) == {"fresh"}


FOLDERS = (
    "objects", "actions", "own", "current", "aliases", "published", "builds", "runs", "tmp",
    "scratch", "cache",
)  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_the_store_that_is_a_link(built: Toy, name: str, tmp_path: Path) -> None:
    """`tmp` and `runs` are emptied by every build, `objects` by gc: of whatever they lead to."""
    precious = tmp_path / "precious"
    precious.mkdir()
    for each in ("thesis.txt", "0" * 64):
        (precious / each).write_text("years of work")
    (precious / "deep").mkdir()
    before = everything_below(precious)
    place = built.folder / ".nexus" / name
    if place.exists():
        shutil.rmtree(place)
    place.symlink_to(precious)
    for command in ([], ["gc", "--keep", "1"], ["doctor", "--verify-store"]):
        done = built.run(*command)
        assert done.returncode == 2 and "Traceback" not in done.stderr, (command, done)
        assert everything_below(precious) == before, command
    assert "is a link" in built.run().stderr


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_files_of_the_store_that_are_links(built: Toy, kind: str) -> None:
    """What is written in place, or under a name that can be foreseen, is not written elsewhere."""
    store = built.folder / ".nexus"
    precious = built.write("precious.txt", "precious")
    places = [store / "lock", store / ".sources.json.new", built.folder / ".nexus.lock.new"]
    places += [store / f"builds/{number:06d}.jsonl" for number in range(2, 5)]
    places += [store / f"cache/.{name}.new" for name in ("files", "records", "graph", "code")]
    logs = built.folder / "build/logs/step/b.log"
    for place in [*places, logs]:
        place.unlink(missing_ok=True)
        if kind == "symbolic":
            place.symlink_to(precious)
        elif place != logs:
            os.link(precious, place)
    built.write("words.txt", "other words")
    done = built.run()
    assert done.returncode == 2 and "Traceback" not in done.stderr  # the lock
    (store / "lock").unlink()
    done = built.run()
    assert "Traceback" not in done.stderr
    assert precious.read_text() == "precious"


def test_links_in_the_way_of_what_is_shown(built: Toy, tmp_path: Path) -> None:
    """A project that was cloned may bring links of its own in build/ and dist/."""
    precious = tmp_path / "precious"
    precious.mkdir()
    for place in ("build/step", "dist/product"):
        shutil.rmtree(built.folder / place)
        (built.folder / place).symlink_to(precious)
    built.write("words.txt", "other words")
    done = built.run()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "build/step: is a link" in done.stderr
    assert not list(precious.iterdir())
    (built.folder / "build/step").unlink()
    built.build()
    assert not list(precious.iterdir())
    assert not (built.folder / "dist/product").is_symlink()


LINES: Mapping[str, Iterable[object]] = {
    "no numbers": ({"number": "x", "started": 0, "spec": "", "command": ""},),
    "no time": ({"number": 1, "started": 1e300, "spec": "", "command": ""},),
    "keys of another kind": (
        {"number": 1, "started": 0, "spec": "", "command": ""},
        {"id": "step:a", "state": "built", "key": ["x"], "seconds": 1},
        {"id": [], "state": {}, "key": None, "seconds": None},
        {"exit_code": 0, "seconds": "long", "keys": {"step:a": {}}},
    ),
    "paths for keys": (
        {"number": 1, "started": 0, "spec": "", "command": ""},
        {"exit_code": 0, "seconds": 1, "keys": {"step:a": "../../../precious"}},
    ),
    "a list": ([],),
}


def test_logs_of_another_s(built: Toy) -> None:
    file = built.folder / ".nexus/builds/000001.jsonl"
    for name, lines in LINES.items():
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        for command in COMMANDS[3:9]:
            done = built.run(*command)
            assert done.returncode in (0, 2) and "Traceback" not in done.stderr, (name, done)
    survives(built)


def test_sources_of_another_s(built: Toy) -> None:
    place = built.folder / ".nexus/sources.json"
    for content in ('{"words.txt": ["x"]}', "[" * 100_000, "3", '[["a", "b"]]'):
        place.write_text(content)
        (built.folder / "words.txt").unlink()
        assert "Traceback" not in built.run("--dry-run").stderr
        built.write("words.txt", "some words")


def test_a_cache_that_was_copied_is_not_read(built: Toy) -> None:
    """Its format is quick to read, and not made for what a stranger wrote."""
    cache = built.folder / ".nexus/cache"
    shutil.copytree(cache, built.folder / "elsewhere")
    shutil.rmtree(cache)
    shutil.copytree(built.folder / "elsewhere", cache)
    assert [path for path in cache.iterdir() if read_values(path) is not None] == []
    assert set(built.plan().values()) == {"fresh"}


def test_names_that_lead_out_of_current(built: Toy) -> None:
    store = built.folder / ".nexus"
    for name in ("..%2F..%2Fx", "%2Ftmp%2Fx:y", "\x1b[2J:x", "a" * 250):
        (store / "current" / name).symlink_to("../actions/x.json")
    (store / "current/step:a").unlink()
    (store / "current/step:a").symlink_to("../../../../etc/passwd")
    survives(built)


def test_a_lock_that_names_a_path_for_a_key(built: Toy) -> None:
    pin = {"group": "g", "settings": "", "sources": {}, "inputs": {}, "outputs": {}}
    lock = {"nexus_lock": 1, "values": {}, "pins": {"step:a": {**pin, "key": "../../../x"}}}
    built.write("nexus.lock", json.dumps(lock))
    done = built.run()
    assert done.returncode == 2 and "the key of step:a is not a SHA-256" in done.stderr


def test_a_store_of_records_that_say_they_took_an_hour(built: Toy) -> None:
    """The door lets through what is well formed."""
    make_long(built, *built.spec["targets"])
    assert set(built.plan().values()) == {"fresh"}
    assert "is damaged" not in survives(built)


# What is written below a folder.


@pytest.mark.parametrize("at_once", [True, False], ids=["openat2", "part by part"])
def test_nothing_is_written_outside_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:

        def unknown(top: int, path: str) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(beneath, "_opened_at_once", unknown)
    outside = tmp_path / "outside"
    outside.mkdir()
    source = tmp_path / "source"
    source.write_text("x")
    with Folder.at(tmp_path / "inside") as folder:
        (tmp_path / "inside/link").symlink_to(outside)
        (tmp_path / "inside/file").symlink_to(outside / "new")
        for path in ("link/x", "../outside/x", "a/../../outside/x", "link/deep/x"):
            for write in (folder.copy, folder.link):
                with pytest.raises((BuildError, OSError)):
                    write(source, path)
        with pytest.raises(OSError, match="exists"):
            folder.copy(source, "file")
        folder.copy(source, "a/b/c")
        folder.link(source, "a/b/d")
        folder.remove("link")
        folder.swap_in("a", "file")
    assert not list(outside.iterdir())
    assert (tmp_path / "inside/file/b/c").read_text() == "x"


def test_a_work_that_names_its_files_oddly_is_told_so(toy: Toy) -> None:
    """What the door would not let in is not written either: it would be built again each time."""
    for name, said in (("a\\\\b", "a backslash"), ("OUT.txt", "there twice"), ("a\\tb", "printed")):
        toy.write(
            "toy/mine.py",
            f"def work(job):\n    for name in ('out.txt', '{name}'):\n"
            "        (job.out / name).touch()\n",
        )
        toy.target("a", work="toy.mine:work")
        done = toy.run()
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_odd_texts_of_works_are_kept_as_they_can_be_shown(toy: Toy) -> None:
    toy.write(
        "toy/mine.py",
        "import json\n\n\ndef work(job):\n    job.note('\\x1b[2J odd\\nand more')\n"
        "    job.measured(**{'a\\x07': float('nan')})\n"
        "    verdict = {'verdict': 'pass', 'summary': ['\\x1b']}\n"
        "    (job.out / 'v.json').write_text(json.dumps(verdict))\n",
    )
    toy.target("a", work="toy.mine:work", verdict="v.json")
    assert toy.built() == {"a"}
    assert toy.plan() == {"a": "fresh"}
    assert "\\x1b[2J odd" in toy.run("why", "a").stdout


def test_paths() -> None:
    for path in ("a", "a/b.txt", "été/x", "a b", ".hidden", "a..b", "…", "x" * 200):
        assert fault_in_path(path) is None, path
    for path in ("", "/", "a/", "//", "..", "a/..", ".", "a/./b", "\0", "a\\b", "c:/x", "\ud800"):
        assert fault_in_path(path) is not None, path
    assert printable("a\x1b\u202eb\nc\td é") == "a\\x1b\\u202eb\nc\td é"
