"""What a stranger's archive may try: write elsewhere, fill the disk or the memory, forge a verdict.

Each of them is refused whole, with words and not with a traceback, and leaves nothing behind.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import resource
import shutil
import stat
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forged import (
    LONG,
    contents,
    entries,
    entry,
    make_long,
    read_record,
    taking_long,
    text_of,
    with_output,
    write_archive,
)
from test_kills import everything_below
from toy_project import Toy

from nexusbuild.errors import BuildError
from nexusbuild.rule.record import Record
from nexusbuild.store.archive import export_results
from nexusbuild.store.store import Store

Part = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def home(chain_once_built: Toy, tmp_path: Path) -> Toy:
    """The same project elsewhere, with nothing built; a folder above it shows what gets out."""
    home = Toy(tmp_path / "above/home")
    home.spec = json.loads(json.dumps(chain_once_built.spec))
    home.save()
    home.write("words.txt", "some words")
    return home


@pytest.fixture
def step_a(chain_once_built: Toy) -> Record:
    return taking_long(read_record(chain_once_built, "step:a"))


def refused(home: Toy, file: Path, said: str = "") -> str:
    """What is said of an archive that is not taken; nothing of it may be left."""
    outside = set(everything_below(home.folder.parent))
    done = home.run("store", "import", str(file))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    assert said in done.stderr, done.stderr
    store = home.folder / ".nexus"
    for folder in ("objects", "actions", "own", "current", "runs", "tmp"):
        assert not list((store / folder).rglob("*")), folder
    left = set(everything_below(home.folder.parent)) - outside
    assert all(".nexus" in name for name in left), left
    return done.stderr


PATHS = {
    "out of the folder": "x/../../../../../.bashrc",
    "absolute": "/tmp/nexus-was-here.py",
    "up": "..",
    "a dot": "./x.txt",
    "an empty part": "a//b",
    "ends in a slash": "a/",
    "empty": "",
    "a backslash": "..\\..\\x.txt",
    "a drive": "C:x.txt",
    "a terminal's escape": "a\x1b]0;x\x07.txt",
    "a line break": "a\nb.txt",
    "right to left": "a\u202etxt.exe",
    "long": "a" * 5000,
    "a long part": "a/" + "b" * 240,
    "the same file again": "out.txt",
    "the same but for case": "OUT.txt",
    "a file as a folder": "out.txt/x",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_no_output_leads_out(
    chain_once_built: Toy, home: Toy, step_a: Record, path: str, tmp_path: Path
) -> None:
    forged, more = with_output(step_a, path, b"echo it ran\n")
    objects = contents(chain_once_built, step_a) | more
    refused(home, write_archive(tmp_path / "x.tar", entries([forged], objects)), "the record ")


def test_accents_written_in_two_ways_are_one_name(
    chain_once_built: Toy, home: Toy, step_a: Record, tmp_path: Path
) -> None:
    forged, more = with_output(step_a, "caf\u00e9", b"one")
    forged, again = with_output(forged, "cafe\u0301", b"other")
    objects = contents(chain_once_built, step_a) | more | again
    refused(home, write_archive(tmp_path / "x.tar", entries([forged], objects)), "is there twice")


def harmed(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda raw: raw.update(changes)


RECORDS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "another target": harmed(target="step:b"),
    "other settings": lambda raw: raw["settings"].update(fixed="y"),
    "a target that leads out": harmed(target="../../x:y"),
    "a size below nothing": lambda raw: raw["outputs"][0].update(bytes=-1),
    "a size that is true": lambda raw: raw["outputs"][0].update(bytes=True),
    "a size that is a text": lambda raw: raw["outputs"][0].update(bytes="7"),
    "a digest that is a path": lambda raw: raw["outputs"][0].update(sha256="../../../x"),
    "no outputs": harmed(outputs=[]),
    "more in an output": lambda raw: raw["outputs"][0].update(mode=0o4755),
    "a list for provenance": harmed(provenance=[]),
    "seconds in words": lambda raw: raw["provenance"].update(seconds="long"),
    "seconds without end": lambda raw: raw["provenance"].update(seconds=float("inf")),
    "nested": lambda raw: raw["provenance"].update(deep=json.loads("[" * 500 + "]" * 500)),
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_follows_from_its_parts(
    chain_once_built: Toy,
    home: Toy,
    step_a: Record,
    change: Callable[[dict[str, Any]], object],
    tmp_path: Path,
) -> None:
    raw = json.loads(json.dumps(step_a.to_json()))
    change(raw)
    objects = contents(chain_once_built, step_a)
    file = write_archive(tmp_path / "x.tar", entries([(step_a.key, text_of(raw))], objects))
    refused(home, file, f"the record {step_a.key[:16]}")


def linked(kind: bytes, to: str) -> Callable[[list[Part]], None]:
    def change(parts: list[Part]) -> None:
        info, _ = parts[0]
        info.type, info.linkname, info.size = kind, to, 0
        parts[0] = (info, b"")

    return change


def pax(**headers: str) -> Callable[[list[Part]], None]:
    def change(parts: list[Part]) -> None:
        parts[0][0].pax_headers = headers

    return change


def twice(parts: list[Part]) -> None:
    parts.insert(1, parts[0])


def another_name(name: str) -> Callable[[list[Part]], None]:
    return lambda parts: parts.append(entry(name, b"x"))


def gnu_sparse(parts: list[Part]) -> None:
    """1.5 KB that a reader who understands it makes 300 MB of."""
    info = tarfile.TarInfo(parts[0][0].name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (300 << 20, 0)
    header[483:495] = b"%011o\0" % (300 << 20)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    parts[0] = (_Raw(bytes(header)), b"")


class _Raw(tarfile.TarInfo):
    """An entry with just this header."""

    def __init__(self, header: bytes) -> None:
        super().__init__()
        self.header = header

    def tobuf(self, *arguments: Any) -> bytes:
        return self.header


TARS: Mapping[str, Callable[[list[Part]], None]] = {
    "a symbolic link": linked(tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": linked(tarfile.LNKTYPE, "../../../.bashrc"),
    "a device": linked(tarfile.CHRTYPE, ""),
    "a pipe": linked(tarfile.FIFOTYPE, ""),
    "a folder": linked(tarfile.DIRTYPE, ""),
    "an entry twice": twice,
    "a sparse file": gnu_sparse,
    "a header that changes the size": pax(size="7"),
    "a header that changes the name": pax(path="../../x"),
    "a header that makes it sparse": pax(**{"GNU.sparse.realsize": str(300 << 20)}),
    "a name that leads out": another_name("../x"),
    "a name with a mark": another_name("objects/" + "a" * 63 + "\n"),
    "an object that no record names": another_name("objects/" + hashlib.sha256(b"x").hexdigest()),
    "no objects": lambda parts: parts.pop(0) and None,
}


@pytest.mark.parametrize("change", TARS.values(), ids=TARS.keys())
def test_only_plain_entries(
    chain_once_built: Toy,
    home: Toy,
    step_a: Record,
    change: Callable[[list[Part]], None],
    tmp_path: Path,
) -> None:
    parts = entries([step_a], contents(chain_once_built, step_a))
    change(parts)
    refused(home, write_archive(tmp_path / "x.tar", parts), "x.tar: ")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_nothing_is_unpacked(
    chain_once_built: Toy,
    home: Toy,
    step_a: Record,
    compress: Callable[[bytes], bytes],
    tmp_path: Path,
) -> None:
    """61 KB of xz can hold 400 MB."""
    file = write_archive(tmp_path / "x.tar", entries([step_a], contents(chain_once_built, step_a)))
    file.write_bytes(compress(file.read_bytes()))
    refused(home, file, "is not an archive of results")


def test_a_pipe_and_a_folder_are_no_archives(home: Toy, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in ("pipe", "."):
        refused(home, tmp_path / place, "not a plain file")


def test_something_behind_the_end(
    chain_once_built: Toy, home: Toy, step_a: Record, tmp_path: Path
) -> None:
    file = write_archive(tmp_path / "x.tar", entries([step_a], contents(chain_once_built, step_a)))
    file.write_bytes(file.read_bytes() + b"#!" + bytes(510))
    refused(home, file, "behind its end")


def test_what_does_not_fit_is_refused_before_anything_is_written(
    chain_once_built: Toy, home: Toy, step_a: Record, tmp_path: Path
) -> None:
    """An object of 4 TB, all of it a hole in the archive: there it takes no place."""
    size = 4 << 40
    if shutil.disk_usage(tmp_path).free > size // 2:
        pytest.skip("this disk has room for 4 TB")
    output = replace(step_a.outputs[0], path="huge", sha256="0" * 64, bytes=size)
    forged = replace(step_a, outputs=(*step_a.outputs, output))
    parts = entries([forged], contents(chain_once_built, step_a))
    file = write_archive(tmp_path / "x.tar", parts)
    huge = tarfile.TarInfo(f"objects/{'0' * 64}")
    huge.size = size
    with file.open("r+b") as archive:
        archive.seek(sum(512 + -(-len(content) // 512) * 512 for _, content in parts))
        archive.write(huge.tobuf(tarfile.GNU_FORMAT))
        archive.truncate(archive.tell() + size + 1024)
    refused(home, file, "brings 4.0 TB")


def test_memory_is_bounded(home: Toy, chain_once_built: Toy, tmp_path: Path) -> None:
    """200 MB in an object, and a record of 50 MB: neither is held in memory."""
    record = taking_long(read_record(chain_once_built, "step:a"))
    large, more = with_output(record, "large.bin", bytes(200 << 20))
    objects = contents(chain_once_built, record) | more
    file = write_archive(tmp_path / "large.tar", entries([large], objects))
    del objects, more

    def importing(file: Path) -> tuple[int, int]:
        child = home.forked(["store", "import", str(file)], os.open(os.devnull, os.O_WRONLY), 2)
        _, status, usage = os.wait4(child, 0)
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10

    small = write_archive(tmp_path / "no.tar", [entry("x", b"")])
    _, least = importing(small)
    code, most = importing(file)
    assert code == 0
    assert most < max(least, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) + (64 << 20)
    long = text_of(record.to_json() | {"verdict": {"verdict": "pass", "x": "x" * (50 << 20)}})
    refused_file = write_archive(
        tmp_path / "long.tar", entries([(record.key, long)], contents(chain_once_built, record))
    )
    assert importing(refused_file)[0] == 2


# Verdicts.


def fails(toy: Toy) -> None:
    """An honest fail: the gate asks for more than there is."""
    toy.settings("gate:b", at_least=10_000)
    assert toy.build(code=3)["gate:b"] == "built"


def forged_pass(toy: Toy, target: str = "gate:b") -> tuple[Record, dict[str, bytes]]:
    """The gate's record with the same key, which says that it passed, after an hour."""
    record = taking_long(read_record(toy, target))
    content = json.dumps({"verdict": "pass", "summary": "of course"}).encode()
    record = replace(record, outputs=())
    record, objects = with_output(record, "verdict.json", content)
    return replace(record, verdict=json.loads(content)), objects


@pytest.mark.parametrize("fresh", [False, True], ids=["over a fail", "in an empty store"])
def test_a_pass_is_not_imported(built: Toy, home: Toy, fresh: bool, tmp_path: Path) -> None:
    fails(built)
    record, objects = forged_pass(built)
    file = write_archive(tmp_path / "x.tar", entries([record], objects))
    home.spec = built.spec
    home.save()
    victim = home if fresh else built
    before = everything_below(built.folder / "dist")
    done = victim.run("store", "import", str(file))
    assert done.returncode == 0, done.stderr
    assert "left out, to be made here: 1 result" in done.stdout
    assert "gate:b: " in done.stdout
    assert victim.build(code=3)["release"] == "skipped"
    assert everything_below(built.folder / "dist") == before
    assert not (home.folder / "dist").exists()


def test_a_verdict_that_the_spec_calls_none_is_left_out(
    built: Toy, home: Toy, tmp_path: Path
) -> None:
    """`_passed` asks every input of a release: a record may not bring a verdict of its own."""
    record = taking_long(read_record(built, "step:b"))
    record = replace(record, verdict={"verdict": "pass", "summary": ""})
    write_archive(tmp_path / "x.tar", entries([record], contents(built, record)))
    assert home.json("store", "import", str(tmp_path / "x.tar"))["targets"] == []


def test_releases_and_what_took_seconds_are_made_again(
    built: Toy, home: Toy, tmp_path: Path
) -> None:
    file = tmp_path / "x.tar"
    make_long(built, "release", "gate:b")
    assert built.run("store", "export", "*", str(file)).returncode == 0
    document = home.json("store", "import", str(file))
    assert document["targets"] == []
    assert set(document["left_out"]) == set(built.spec["targets"])
    assert home.built() == set(built.spec["targets"])


def test_what_took_seconds_is_taken_where_it_cannot_be_made_again(
    built: Toy, home: Toy, tmp_path: Path
) -> None:
    (home.folder / "words.txt").unlink()
    file = tmp_path / "x.tar"
    assert built.run("store", "export", "+step:b", str(file)).returncode == 0
    assert set(home.json("store", "import", str(file))["targets"]) == {
        "data:words", "step:a", "step:b",
    }  # fmt: skip


def test_another_outcome_replaces_nothing(built: Toy, tmp_path: Path) -> None:
    record = taking_long(read_record(built, "step:a"))
    other, more = with_output(replace(record, outputs=()), "out.txt", b"mine")
    file = write_archive(tmp_path / "x.tar", entries([other], more))
    before = built.digests()
    done = built.run("store", "import", str(file))
    assert done.returncode == 0 and "step:a: the store has another result" in done.stdout
    assert read_record(built, "step:a").outputs == record.outputs
    assert built.digests() == before


def test_a_target_that_the_spec_does_not_know(built: Toy, home: Toy, tmp_path: Path) -> None:
    """It might be a gate tomorrow."""
    file = tmp_path / "x.tar"
    make_long(built, "other")
    assert built.run("store", "export", "other", str(file)).returncode == 0
    del home.spec["targets"]["other"]
    home.save()
    assert home.json("store", "import", str(file))["left_out"] == {
        "other": "the spec has no such target"
    }


def test_what_was_imported_says_so(built: Toy, home: Toy, tmp_path: Path) -> None:
    file = tmp_path / "from afar.tar"
    make_long(built, "step:a")
    assert built.run("store", "export", "+step:a", str(file)).returncode == 0
    assert set(home.json("store", "import", str(file))["targets"]) == {"data:words", "step:a"}
    assert home.built() == {"step:b", "other", "gate:b", "release"}
    about = read_record(home, "step:a").provenance
    assert about["imported"]["from"] == "from afar.tar" and about["seconds"] == LONG
    assert "imported from from afar.tar, 20" in home.run("why", "step:a").stdout
    assert "imported" not in home.run("why", "step:b").stdout
    # Made here, it is no longer.
    assert "step:a" in home.built("--force", "step:a")
    assert "imported" not in read_record(home, "step:a").provenance


TELLING = """
import json


def work(job):
    (job.out / "made_of.json").write_text(json.dumps(job.imported))
"""


def test_a_release_can_say_what_of_it_was_imported(built: Toy, home: Toy, tmp_path: Path) -> None:
    for toy in (built, home):
        toy.write("toy/telling.py", TELLING)
        toy.spec["targets"]["release"]["work"] = "toy.telling:work"
        toy.save()
    built.build()
    assert json.loads((built.folder / "dist/made_of.json").read_text()) == []
    file = tmp_path / "x.tar"
    make_long(built, "step:a")
    assert built.run("store", "export", "step:a", str(file)).returncode == 0
    assert home.run("store", "import", str(file)).returncode == 0
    home.build()
    assert json.loads((home.folder / "dist/made_of.json").read_text()) == ["step:a"]
    # It is in no key: what is read is the same.
    assert read_record(home, "release").key == read_record(built, "release").key


def test_files_arrive_without_a_stranger_s_rights(
    built: Toy, home: Toy, step_a: Record, tmp_path: Path
) -> None:
    parts = entries([step_a], contents(built, step_a))
    for info, _ in parts:
        info.mode, info.uid, info.uname = 0o6777, 4711, "root"
    assert (
        home.run("store", "import", str(write_archive(tmp_path / "x.tar", parts))).returncode == 0
    )
    for file in (home.folder / ".nexus/objects").iterdir():
        about = file.stat()
        assert stat.S_IMODE(about.st_mode) == 0o444 and about.st_uid == os.getuid()
        assert about.st_nlink == 1


def test_an_archive_of_an_older_version_is_read(built: Toy, home: Toy, tmp_path: Path) -> None:
    """Those had a time stamp with fractions of a second, in an extended header."""
    make_long(built, "step:a")
    record = read_record(built, "step:a")
    parts = entries([record], contents(built, record))
    for info, _ in parts:
        info.mtime = 1.25
    file = write_archive(tmp_path / "x.tar", parts)
    assert b"mtime=1.25" in file.read_bytes()
    assert home.json("store", "import", str(file))["targets"] == ["step:a"]


def test_an_export_follows_no_link(built: Toy) -> None:
    precious = built.write("precious.txt", "precious")
    (built.folder / f".x.tar.{os.getpid()}.new").symlink_to(precious)
    store, record = Store(built.folder / ".nexus"), read_record(built, "step:a")
    with pytest.raises(BuildError, match="cannot be written"):
        export_results(store, [record], built.folder / "x.tar")
    assert precious.read_text() == "precious"
    export_results(store, [record], built.folder / "x.tar")


def test_an_archive_is_a_plain_tar(built: Toy, tmp_path: Path) -> None:
    """Anyone can look into it, and it says nothing of who wrote it."""
    assert built.run("store", "export", "step:a", "x.tar").returncode == 0
    content = (built.folder / "x.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        members = archive.getmembers()
    assert {(each.type, each.mode, each.uid, each.mtime) for each in members} == {
        (tarfile.REGTYPE, 0o444, 0, 0)
    }
    assert b"root" not in content[:512]
