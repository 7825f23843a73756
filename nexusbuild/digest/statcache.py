"""What was computed from a file, kept for as long as the file's stat says it is the same file.

An entry counts when path, inode, size, mtime_ns and ctime_ns all agree. A file that changed
within the clock's grain of being read could change again without a trace, so what was computed
from it is used now and not kept.
"""

# ruff: noqa: PTH116, PTH120, PTH123 (part of every dry run; os is several times as fast as pathlib)

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

# The modification time of every object in a store: a later write to one shows without hashing.
OBJECT_TIME_NS = 1_000_000_000
_FINE_GRAIN_NS = 100_000_000
_COARSE_GRAIN_NS = 2_000_000_000  # FAT keeps two seconds, some others one
_SECOND_NS = 1_000_000_000
_PYTHON = f"{sys.implementation.cache_tag} {marshal.version}"
_MOST_BYTES = 1 << 30
_TYPE, _FOLDER = 0o170000, 0o040000  # as in the module `stat`, which a dry run need not import
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
        entry = self._load().get(path)
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
            self._load()[path] = (signature, value)
            self._changed = True

    def save_cache(self) -> None:
        """Write it where it was read from, without entries that were not used since."""
        if self._path is None or not self._changed or self._entries is None:
            return
        kept = {path: entry for path, entry in self._entries.items() if path in self._asked}
        write_values(self._path, kept)
        self._changed = False

    def _load(self) -> dict[str, tuple[Signature, Any]]:
        if self._entries is None:
            found = read_values(self._path) if self._path is not None else None
            self._entries = found if isinstance(found, dict) else {}
        return self._entries


def read_values(path: Path | str) -> Any | None:
    """The values written there; None where the file is not whole, or was written elsewhere.

    They are marshalled, several times as fast as JSON; unlike a pickle they can name no code.
    Before them stand who wrote them and their checksum: see `_head`.
    """
    try:
        head = _head(os.fspath(path))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                return None
            content = file.read()
    except OSError:
        return None
    if content is None or not content.startswith(head):
        return None
    start = len(head) + _CHECKSUM_BYTES
    values = memoryview(content)[start:]
    if _checksum(values) != content[len(head) : start]:
        return None
    return marshal.loads(values)


def write_values(path: Path, values: Any) -> None:
    """Write plain values, whole or not at all; where that fails, the next run is slower."""
    from nexusbuild.digest.plain_file import replace_file

    try:
        content = marshal.dumps(values)
    except ValueError:  # not all of it is plain values
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _head(os.fspath(path)) + _checksum(content) + content)
    except OSError:
        return


def _head(path: str) -> bytes:
    """What a file there begins with: the interpreter, the very folder that it was written in, and
    the machine. A cache that was copied with its folder is not read at all. Raises OSError.
    """
    folder = os.lstat(os.path.dirname(path) or ".")
    if folder.st_mode & _TYPE != _FOLDER:
        raise NotADirectoryError(path)
    return f"{_PYTHON} {folder.st_dev} {folder.st_ino} {_machine()}\n".encode()


def _machine() -> str:
    """What tells this machine from another that no copy of a store can know of."""
    try:
        with open("/etc/machine-id", "rb", buffering=0) as file:
            return file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _checksum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big")
