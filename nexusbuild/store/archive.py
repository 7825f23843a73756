"""Results as one file, to carry between machines: records and their objects (`archive_format`).

What is read from such a file is distrusted. Its records are read first; they say which objects
there must be, and how large each is. Only then, and only if there is room, the objects are copied
to a folder of their own and hashed, and taken into the store when all of them are right. An archive
adds results; it replaces none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from nexusbuild import errors
from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.plain_file import open_plain_file
from nexusbuild.errors import BuildError
from nexusbuild.readable import readable_size
from nexusbuild.rule.names import printable
from nexusbuild.rule.record import Record, record_from_text, record_text
from nexusbuild.rule.record_check import MOST_BYTES, DamagedRecordError
from nexusbuild.store.archive_format import (
    END,
    Entry,
    NotAnArchiveError,
    entries_of,
    entry_header,
    padding,
)
from nexusbuild.store.store import Store

_BLOCK = 1 << 20
_MOST_OF_RECORDS = 64 << 20  # bytes of all records of an archive: they are held in memory

Choose = Callable[[Sequence[Record]], Mapping[str, str]]


@dataclass(frozen=True)
class Imported:
    """taken: targets whose results are in the store now. left_out: target -> why."""

    taken: tuple[str, ...]
    left_out: Mapping[str, str]


def export_results(store: Store, records: Iterable[Record], file: Path) -> int:
    """Write the records and all their objects; how many objects."""
    chosen = list(records)
    objects = {output.sha256: output for record in chosen for output in record.outputs}
    unusable = list(_unusable(store, chosen))
    if unusable:
        raise errors.several(unusable)
    if file.is_dir():
        raise errors.is_a_directory(str(file))
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with temporary.open("xb") as archive:
            for sha256, output in sorted(objects.items()):
                archive.write(entry_header(f"objects/{sha256}", output.bytes))
                with os.fdopen(open_plain_file(store.object(sha256)), "rb") as content:
                    shutil.copyfileobj(content, archive, _BLOCK)
                archive.write(padding(output.bytes))
            for record in chosen:
                text = record_text(record).encode()
                archive.write(entry_header(f"actions/{record.key}.json", len(text)))
                archive.write(text + padding(len(text)))
            archive.write(END)
        temporary.replace(file)
    except OSError as error:
        raise errors.unwritable(str(file), error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return len(objects)


def check_readable(file: Path) -> None:
    """Raise BuildError where `file` is not there, or is not an archive."""
    with _open_plain_file(file) as archive:
        try:
            next(entries_of(archive))
        except NotAnArchiveError as error:
            raise errors.no_archive(str(file), str(error)) from error


def import_results(store: Store, file: Path, choose: Choose) -> Imported:
    """Take from `file` into the store what `choose` does not leave out: it is given all records
    (without settings, code and most of the provenance), and gives key -> why not.
    """
    check_readable(file)
    with _open_plain_file(file) as archive:
        try:
            return _taken(store, file, archive, choose)
        except (NotAnArchiveError, DamagedRecordError) as error:
            raise errors.damage_error(str(file), f"the archive ({error})") from error
        except OSError as error:
            raise errors.system(f"import of {file}", error) from error


def _taken(store: Store, file: Path, archive: BinaryIO, choose: Choose) -> Imported:
    entries = list(entries_of(archive))
    places = {each.name: each for each in entries if each.kind == "actions"}
    objects = {each.name: each for each in entries if each.kind == "objects"}
    if sum(place.size for place in places.values()) > _MOST_OF_RECORDS:
        raise NotAnArchiveError("its records are too long")
    offered = [_light(_record_at(archive, place)) for place in places.values()]
    _check_sizes(offered, objects)
    left = {**choose(offered)}
    for record in offered:
        before = store.record(record.key)
        if before is not None and not _same_outcome(before, record):
            left[record.key] = "the store has another result for the same key, which stays"
    chosen = [record for record in offered if record.key not in left]
    wanted = {output.sha256: output for record in chosen for output in record.outputs}
    lacking = {name: each for name, each in wanted.items() if not store.verified(each)}
    _check_room(store, file, sum(output.bytes for output in lacking.values()))
    folder = store.run_directory("import")
    try:
        for name, entry in objects.items():
            _read_object(archive, entry, folder / name if name in lacking else Path(os.devnull))
        for name, output in lacking.items():
            store.add_object(folder / name, output)
    finally:
        store.drop_run(folder)
    fresh = (place for key, place in places.items() if key not in left)
    _add_records(store, (_record_at(archive, place) for place in fresh), printable(file.name))
    return Imported(
        tuple(record.target for record in chosen),
        {record.target: left[record.key] for record in offered if record.key in left},
    )


def _record_at(archive: BinaryIO, place: Entry) -> Record:
    if place.size > MOST_BYTES:
        raise NotAnArchiveError(f"the record {place.name[:16]} is too long")
    archive.seek(place.start)
    try:
        text = archive.read(place.size).decode()
    except UnicodeDecodeError as error:
        raise DamagedRecordError(f"the record {place.name[:16]} is not text") from error
    try:
        return record_from_text(text, place.name)
    except DamagedRecordError as error:
        raise DamagedRecordError(f"the record {place.name[:16]}: {error}") from error


def _light(record: Record) -> Record:
    """Of many records, hold no more than what is asked of them here."""
    provenance = {"seconds": record.seconds}
    return replace(record, settings={}, sources={}, code=Code(""), provenance=provenance)


def _check_sizes(records: Iterable[Record], objects: Mapping[str, Entry]) -> None:
    """The objects are those of the records, each as large as these say: no more, no less."""
    named: set[str] = set()
    for record in records:
        for output in record.outputs:
            entry = objects.get(output.sha256)
            if entry is None or entry.size != output.bytes:
                raise NotAnArchiveError(f"{record.target}: {output.path} is not all there")
            named.add(output.sha256)
    for sha256 in objects.keys() - named:
        raise NotAnArchiveError(f"no record names the object {sha256[:16]}")


def _same_outcome(one: Record, other: Record) -> bool:
    return (one.outputs, one.verdict) == (other.outputs, other.verdict)


def _check_room(store: Store, file: Path, wanted: int) -> None:
    free = shutil.disk_usage(store.root).free
    if wanted > free:
        raise errors.no_room_for(str(file), readable_size(wanted), readable_size(free))


def _read_object(archive: BinaryIO, entry: Entry, path: Path) -> None:
    """Copy an object's bytes to a file. Raises NotAnArchiveError where they are not its own."""
    digest, left = hashlib.sha256(), entry.size
    archive.seek(entry.start)
    with path.open("wb") as out:
        while left and (block := archive.read(min(left, _BLOCK))):
            digest.update(block)
            out.write(block)
            left -= len(block)
    if left or digest.hexdigest() != entry.name:
        raise NotAnArchiveError(f"the object {entry.name[:16]} is not what it was")


def _add_records(store: Store, records: Iterator[Record], source: str) -> None:
    """Write them, each with where it came from; all of them, or none."""
    note = {"from": source, "when": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    added: list[str] = []
    taken: dict[str, str] = {}
    try:
        for record in records:
            taken[record.key] = record.target
            if store.record(record.key) is None:
                added.append(record.key)
                provenance = {**record.provenance, "imported": note}
                store.add_record(replace(record, provenance=provenance))
    except BaseException:
        for key in added:
            store.drop_record(key)
        raise
    for key, target in taken.items():
        if store.current(target) is None:
            store.set_current(target, key)


def _unusable(store: Store, records: Iterable[Record]) -> Iterator[BuildError]:
    """One problem for each target that has a file gone or damaged."""
    seen: dict[str, bool] = {}
    for record in records:
        for output in record.outputs:
            if output.sha256 not in seen:
                seen[output.sha256] = store.verified(output)
            if not seen[output.sha256]:
                gone = not store.object(output.sha256).exists()
                wording = errors.output_gone if gone else errors.output_damaged
                yield wording(record.target, output.path)
                break


def _open_plain_file(file: Path) -> BinaryIO:
    """The file, if it is a plain one: what is read twice must not be a pipe."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise errors.unreadable(str(file), error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise errors.no_archive(str(file), "it is not a plain file")
    return os.fdopen(descriptor, "rb")
