"""What was computed from a file, kept for as long as the file's stat says it is the same file.

An entry counts when path, inode, size, mtime_ns and ctime_ns all agree. A file that changed
within the clock's grain of being read could change again without a trace, so what was computed
from it is used now and not kept.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

_FINE_GRAIN_NS = 100_000_000
_COARSE_GRAIN_NS = 2_000_000_000  # FAT keeps two seconds, some others one
_SECOND_NS = 1_000_000_000

Signature = tuple[int, int, int, int]


def signature_of(stat: os.stat_result) -> Signature:
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _settled(signature: Signature, read_at_ns: int) -> bool:
    """Whether a later change of the file is certain to show in its stat."""
    changed = max(signature[2], signature[3])
    grain = _COARSE_GRAIN_NS if changed % _SECOND_NS == 0 else _FINE_GRAIN_NS
    return changed + grain < read_at_ns


class StatCache:
    """path -> (signature, JSON value), in memory and, after `save`, in one file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, tuple[Signature, Any]] | None = None
        self._changed = False

    def get(self, path: str, stat: os.stat_result) -> Any | None:
        entry = self._loaded().get(path)
        if entry is None or entry[0] != signature_of(stat):
            return None
        return entry[1]

    def put(
        self, path: str, stat: os.stat_result, value: Any, read_at_ns: int | None = None
    ) -> None:
        """`stat` is the file's before it was read; `read_at_ns` the time when reading began."""
        signature = signature_of(stat)
        if _settled(signature, time.time_ns() if read_at_ns is None else read_at_ns):
            self._loaded()[path] = (signature, value)
            self._changed = True

    def save(self) -> None:
        """Write it where it was read from; a cache that cannot be written is merely slower."""
        if self._path is None or not self._changed or self._entries is None:
            return
        text = json.dumps({path: [*entry[0], entry[1]] for path, entry in self._entries.items()})
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
        self._changed = False

    def _loaded(self) -> dict[str, tuple[Signature, Any]]:
        if self._entries is None:
            self._entries = {}
            if self._path is not None:
                try:
                    raw = json.loads(self._path.read_text(encoding="utf-8"))
                    for path, (inode, size, mtime, ctime, value) in raw.items():
                        self._entries[path] = ((inode, size, mtime, ctime), value)
                except (OSError, ValueError, TypeError, AttributeError):
                    self._entries = {}
        return self._entries
