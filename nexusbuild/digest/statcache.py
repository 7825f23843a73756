"""What was computed from a file, kept for as long as the file's stat says it is the same file.

An entry counts when path, inode, size, mtime_ns and ctime_ns all agree. A file that changed
within the clock's grain of being read could change again without a trace, so what was computed
from it is used now and not kept.
"""

# ruff: noqa: PTH116, PTH123 (part of every dry run; os is several times as fast as pathlib)

from __future__ import annotations

import marshal
import os
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_FINE_GRAIN_NS = 100_000_000
_COARSE_GRAIN_NS = 2_000_000_000  # FAT keeps two seconds, some others one
_SECOND_NS = 1_000_000_000
_PYTHON = f"{sys.implementation.cache_tag} {marshal.version}\n".encode()
_CHECKSUM_BYTES = 4

Signature = tuple[int, int, int, int]  # inode, bytes, mtime_ns, ctime_ns


def signature_of(stat: os.stat_result) -> Signature:
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def signature_at(path: str) -> Signature | None:
    """The signature of the file or folder at `path`; None where there is none."""
    try:
        return signature_of(os.stat(path))
    except OSError:
        return None


def is_settled(signature: Signature, read_at_ns: int) -> bool:
    """Whether a later change of the file is certain to show in its stat."""
    changed = max(signature[2], signature[3])
    grain = _COARSE_GRAIN_NS if changed % _SECOND_NS == 0 else _FINE_GRAIN_NS
    return changed + grain < read_at_ns


class StatCache:
    """path -> (signature, plain value), in memory and, after `save_cache`, in one file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, tuple[Signature, Any]] | None = None
        self._asked: set[str] = set()
        self._changed = False

    def get(self, path: str, stat: os.stat_result) -> Any | None:
        self._asked.add(path)
        entry = self._loaded().get(path)
        if entry is None or entry[0] != signature_of(stat):
            return None
        return entry[1]

    def put(
        self, path: str, stat: os.stat_result, value: Any, read_at_ns: int | None = None
    ) -> None:
        """`stat` is the file's before it was read; `read_at_ns` the time when reading began."""
        signature = signature_of(stat)
        if is_settled(signature, time.time_ns() if read_at_ns is None else read_at_ns):
            self._asked.add(path)
            self._loaded()[path] = (signature, value)
            self._changed = True

    def save_cache(self) -> None:
        """Write it where it was read from, without entries that were not used since."""
        if self._path is None or not self._changed or self._entries is None:
            return
        kept = {path: entry for path, entry in self._entries.items() if path in self._asked}
        write_values(self._path, kept)
        self._changed = False

    def _loaded(self) -> dict[str, tuple[Signature, Any]]:
        if self._entries is None:
            found = read_values(self._path) if self._path is not None else None
            self._entries = found if isinstance(found, dict) else {}
        return self._entries


def read_values(path: Path | str) -> Any | None:
    """The values written there; None where the file is not whole, or another Python's.

    They are marshalled, several times as fast as JSON; unlike a pickle they can name no code.
    Before them stand the interpreter that wrote them and their checksum.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
    except OSError:
        return None
    if not content.startswith(_PYTHON):
        return None
    start = len(_PYTHON) + _CHECKSUM_BYTES
    values = memoryview(content)[start:]
    if _checksum(values) != content[len(_PYTHON) : start]:
        return None
    return marshal.loads(values)


def write_values(path: Path, values: Any) -> None:
    """Write plain values, whole or not at all; where that fails, the next run is slower."""
    try:
        content = marshal.dumps(values)
    except ValueError:  # not all of it is plain values
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(_PYTHON + _checksum(content) + content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


def _checksum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big")
