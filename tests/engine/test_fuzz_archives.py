"""Any record and any archive: taken or refused with words, never a traceback, a write elsewhere, or
much memory. NEXUS_FUZZ_EXAMPLES: how many of each kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from forged import contents, entries, read_record, taking_long, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kills import everything_below
from toy_project import Toy

from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.keys import key_of, own_digest
from nexusbuild.digest.statcache import StatCache
from nexusbuild.errors import BuildError
from nexusbuild.rule.record import Record, record_from_json, record_from_text, record_text
from nexusbuild.rule.record_check import DamagedRecordError
from nexusbuild.store.archive import import_results
from nexusbuild.store.store import Store
from nexusbuild.store.views import publish, show

EXAMPLES = int(os.environ.get("NEXUS_FUZZ_EXAMPLES", "150"))
MOST_MEMORY = 200 << 20

fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
ODD_TEXTS = (
    "", ".", "..", "/", "a/../b", "../../../x", "/etc/passwd", "a\\b", "C:\\x", "\x1b[2J", "\n",
    "\0", "\ud800", "\u202e", "é", "e\u0301", "OUT.TXT", "out.txt", "out.txt/x", "x" * 300,
    "a/" * 300, "step:b", "../x:y", "release", "0" * 64, "NaN", "2026-01-01T00:00:00+00:00",
)  # fmt: skip
ODD_NUMBERS = (-1, 0, 1, 1 << 62, 1 << 80, -0.0, 1e308, float("nan"), float("inf"))
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=20),
    st.integers(),
)
values = st.recursive(
    odd,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=5)), inner, max_size=4
        ),
    ),
    max_leaves=8,
)


class Given(NamedTuple):
    """An honest record with its objects, and a folder to work in."""

    record: Record
    objects: dict[str, bytes]
    folder: Path


@pytest.fixture(scope="module")
def honest(chain_once_built: Toy, folder_in_memory: Path) -> Given:
    record = taking_long(read_record(chain_once_built, "step:a"))
    return Given(record, contents(chain_once_built, record), folder_in_memory / "fuzz")


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Within it the process may grow by so much at any moment; what the tests themselves keep of
    thousands of examples does not count.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
    except OSError:
        pytest.skip("needs a kernel that tells the peak of a process's memory")
    before = _peak()
    yield
    assert _peak() - before < MOST_MEMORY


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def places(raw: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in JSON values."""
    yield path
    if isinstance(raw, dict):
        for name, inner in raw.items():
            yield from places(inner, (*path, name))
    elif isinstance(raw, list):
        for number, inner in enumerate(raw):
            yield from places(inner, (*path, number))


def changed(raw: Any, path: tuple[Any, ...], value: Any, how: str) -> Any:
    """The values with something else in one place, or without it, or with more of it."""
    if not path:
        return value
    inner = raw
    for name in path[:-1]:
        inner = inner[name]
    if how == "set":
        inner[path[-1]] = value
    elif how == "delete":
        del inner[path[-1]]
    elif isinstance(inner, list):
        inner.append(inner[path[-1]])
    else:
        inner[str(value)[:50]] = inner[path[-1]]
    return raw


def keyed(raw: Any) -> Any:
    """With a key that follows from its parts, as a forger would make it."""
    try:
        sources = {role: use["digest"] for role, use in raw["sources"].items()}
        own = own_digest(raw["target"], raw["settings"], sources, raw["code"]["fingerprint"])
        inputs = {role: use["digest"] for role, use in raw["inputs"].items()}
        raw["key"] = key_of(own, inputs)
    except Exception:
        return raw
    return raw


@st.composite
def forged_records(draw: st.DrawFn, record: Record) -> Any:
    raw: Any = json.loads(json.dumps(record.to_json()))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([each for each in places(raw) if each] or [()]))
        raw = changed(raw, path, draw(values), draw(st.sampled_from(["set", "delete", "more"])))
        if not isinstance(raw, dict):
            return raw
    return keyed(raw) if draw(st.booleans()) else raw


@pytest.mark.slow
@fuzzed
@given(data=st.data())
def test_any_record(honest: Given, data: st.DataObject) -> None:
    raw = data.draw(forged_records(honest.record))
    key = raw["key"] if isinstance(raw, dict) and isinstance(raw.get("key"), str) else "0" * 64
    with little_memory():
        try:
            record = record_from_json(raw, key)
            read = record_from_text(text_of(raw).decode(), key)
            assert record_text(read) == record_text(record)
        except DamagedRecordError:
            return
        sinks(honest, record)


def sinks(honest: Given, record: Record) -> None:
    """Everything that writes files by what a record says."""
    shutil.rmtree(honest.folder, ignore_errors=True)
    inside = honest.folder / "above/inside"
    inside.mkdir(parents=True)
    store = Store(inside / "store")
    store.prepare()
    for output in record.outputs:
        content = honest.objects.get(output.sha256, b"x")
        (store.root / "objects" / output.sha256).write_bytes(content)
    run = inside / "run"
    run.mkdir()
    store.materialise(record.outputs, run)
    show(inside / "build", store, record.target, record)
    publish(inside / "dist", store, record, None, FileDigests(StatCache(None)))
    store.add_record(record)
    store.set_current(record.target, record.key)
    again = Store(inside / "store").record(record.key)
    assert again is not None and record_text(again) == record_text(record)
    assert [path.name for path in honest.folder.iterdir()] == ["above"]
    assert [path.name for path in (honest.folder / "above").iterdir()] == ["inside"]
    assert {path.name for path in inside.iterdir()} == {"store", "run", "build", "dist"}


@st.composite
def forged_archives(draw: st.DrawFn, honest: Given) -> bytes:
    """The bytes of an archive with a forged record, odd entries, or harm at some place."""
    records: list[Any] = [honest.record]
    if draw(st.booleans()):
        raw = draw(forged_records(honest.record))
        if isinstance(raw, dict):
            try:
                records = [(str(raw.get("key"))[:64], text_of(raw))]
            except UnicodeEncodeError:
                records = []
    parts = entries(records, honest.objects)
    for _ in range(draw(st.integers(0, 3))):
        info, content = draw(st.sampled_from(parts)) if parts else (tarfile.TarInfo("x"), b"")
        info = tarfile.TarInfo(draw(st.one_of(st.just(info.name), st.sampled_from(ODD_TEXTS))))
        info.type = draw(
            st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"L", b"S", b"x", b"g"])
        )
        info.size = len(content)
        info.linkname = draw(st.sampled_from(["", *ODD_TEXTS]))
        info.pax_headers = draw(
            st.sampled_from([{}, {"size": "7"}, {"path": "../x"}, {"mtime": "1.5"}])
        )
        parts.insert(draw(st.integers(0, len(parts))), (info, content))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as archive:
        for info, content in parts:
            try:
                archive.addfile(info, io.BytesIO(content))
            except (ValueError, OSError):
                continue
    content = bytearray(buffer.getvalue())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["flip", "cut", "repeat", "size"]))
        if how == "flip" and content:
            content[place] ^= draw(st.integers(1, 255))
        elif how == "cut":
            del content[place : place + draw(st.sampled_from([1, 512, 100_000]))]
        elif how == "repeat":
            block = place - place % 512
            content[block:block] = content[block : block + 512]
        else:
            _resize(content, place - place % 512, draw(st.integers(0, 1 << 90)))
    return bytes(content)


def _resize(content: bytearray, block: int, size: int) -> None:
    """Say another size in a header, with a sum that agrees."""
    header = content[block : block + 512]
    if len(header) < 512:
        return
    header[124:136] = b"\x80" + size.to_bytes(12, "big")[1:] if size >> 33 else b"%011o\0" % size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    content[block : block + 512] = header


@pytest.mark.slow
@fuzzed
@given(data=st.data())
def test_any_archive(honest: Given, data: st.DataObject) -> None:
    content = data.draw(forged_archives(honest))
    shutil.rmtree(honest.folder, ignore_errors=True)
    inside = honest.folder / "above/inside"
    inside.mkdir(parents=True)
    file = inside / "x.tar"
    file.write_bytes(content)
    store = Store(inside / "store")
    store.prepare()
    before = everything_below(honest.folder)
    try:
        with little_memory():
            imported = import_results(store, file, lambda offered: {})
    except BuildError:
        assert everything_below(honest.folder) == before
        return
    assert not list((store.root / "runs").iterdir())
    again = Store(store.root)
    for target in imported.taken:
        key = again.current(target)
        record = again.record(key) if key is not None else None
        assert record is not None and record.imported is not None
        assert not again.missing(record.outputs)
        assert all(again.verified(output) for output in record.outputs)
