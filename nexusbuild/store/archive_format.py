"""The format of an archive: a tar of plain files, and of nothing else that tar can say.

Every entry is `objects/<sha256>` or `actions/<key>.json`, a plain file with one header in front of
it. What could make an entry larger than it looks, name another file, or bring anything but bytes is
refused: compression, sparse files, links, devices, extended headers (but for a time stamp, which
older versions wrote), an entry that stands twice. Headers are read first, and nothing else: where
each entry lies and how long it is decides what is read of the rest.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
MOST_ENTRIES = 500_000
_NAME = re.compile(r"(objects)/([0-9a-f]{64})|(actions)/([0-9a-f]{64})\.json")
_MOST_OF_A_TIME_STAMP = 256
_TIME_STAMP = re.compile(rb"(\d+ mtime=[\d.]+\n)+")


class NotAnArchiveError(ValueError):
    """It is no archive of results, or not a whole one; the text says where and why."""


@dataclass(frozen=True)
class Entry:
    """kind: `objects` or `actions`. name: digest or key. start, size: where its bytes lie."""

    kind: str
    name: str
    start: int
    size: int


def entry_header(name: str, size: int) -> bytes:
    """The header of a plain file without owner, date or anything else of where it comes from."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o444
    return entry.tobuf(tarfile.GNU_FORMAT)  # which has no limit of 8 GB on a size


def padding(size: int) -> bytes:
    """What stands after so many bytes, up to the next header."""
    return bytes(-size % BLOCK)


END = bytes(2 * BLOCK)


def entries_of(file: BinaryIO) -> Iterator[Entry]:
    """Every entry, in order. Raises NotAnArchiveError where the file is anything else."""
    length = os.fstat(file.fileno()).st_size
    place, seen, stamped = 0, set[str](), False
    while True:
        header = _read(file, place, BLOCK)
        if header.count(0) == BLOCK:
            break
        entry = _parse_header(header, place)
        start, end = place + BLOCK, place + BLOCK + entry.size
        if entry.size < 0 or end > length:
            raise NotAnArchiveError(f"the entry at byte {place} is not all there")
        if entry.type == tarfile.XHDTYPE and not stamped:
            _check_time_stamp(file, place, entry.size)
            stamped = True
        else:
            found = _plain_entry(entry, place, start)
            if entry.name in seen:
                raise NotAnArchiveError(f"{entry.name} is there twice")
            seen.add(entry.name)
            if len(seen) > MOST_ENTRIES:
                raise NotAnArchiveError("it has too many entries")
            stamped = False
            yield found
        place = end + -end % BLOCK
    if stamped or not seen:
        raise NotAnArchiveError("it has no entry, or one without its file")
    _check_end(file, place, length)


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    found = file.read(count)
    if len(found) != count:
        raise NotAnArchiveError(f"it ends at byte {place + len(found)}, in the middle")
    return found


def _parse_header(header: bytes, place: int) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise NotAnArchiveError(
            f"what stands at byte {place} is not the head of an entry"
        ) from error


def _plain_entry(entry: tarfile.TarInfo, place: int, start: int) -> Entry:
    match = _NAME.fullmatch(entry.name)
    if match is None:
        raise NotAnArchiveError(f"the entry at byte {place} is neither an object nor a record")
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.linkname:
        raise NotAnArchiveError(f"{entry.name} is not a plain file")
    kind, name = (part for part in match.groups() if part is not None)
    return Entry(kind, name, start, entry.size)


def _check_time_stamp(file: BinaryIO, place: int, size: int) -> None:
    """An extended header may say when a file was changed, and not how large it is or what for."""
    if size > _MOST_OF_A_TIME_STAMP or not _TIME_STAMP.fullmatch(_read(file, place + BLOCK, size)):
        raise NotAnArchiveError(f"the extended header at byte {place} says more than a time")


def _check_end(file: BinaryIO, place: int, length: int) -> None:
    """Nothing but zeros follows the end; tar fills up to a whole record of 10,240 bytes."""
    if not 2 * BLOCK <= length - place <= tarfile.RECORDSIZE + BLOCK:
        raise NotAnArchiveError("it has no end, or something behind it")
    if any(_read(file, place, length - place)):
        raise NotAnArchiveError("there is something behind its end")
