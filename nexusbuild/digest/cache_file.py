"""A file of plain values that may be lost at any time: quick to read, never trusted unseen.

The values are marshalled, several times as fast as JSON; unlike a pickle it can name no code. What
stands before them is their digest, the interpreter that wrote them, and where: a file that was cut
off, damaged, written by another Python, or copied from elsewhere counts as absent.
"""

from __future__ import annotations

import errno
import hashlib
import marshal
import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Any

from nexusbuild.digest.plain_file import read_plain_file, replace_file

_DIGEST_BYTES = 32
_MOST_BYTES = 1 << 30


def read_values(path: Path) -> Any | None:
    """What was written there, or None."""
    try:
        head = _head(path)
        content = read_plain_file(path, _MOST_BYTES)
    except OSError:
        return None
    if not content.startswith(head):
        return None
    start = len(head) + _DIGEST_BYTES
    values = memoryview(content)[start:]
    if hashlib.sha256(values).digest() != content[len(head) : start]:
        return None
    return marshal.loads(values)


def write_values(path: Path, values: Any) -> None:
    """Whole or not at all; one that cannot be written is merely slower next time."""
    try:
        content = marshal.dumps(values)
    except ValueError:  # something in it is no plain value
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _head(path) + hashlib.sha256(content).digest() + content)
    except OSError:
        return


def _head(path: Path) -> bytes:
    """What a file there begins with: the interpreter, and the very folder that it was written in. A
    cache that was copied with its folder is nobody's: its values are not read at all.
    """
    folder = path.parent.lstat()
    if not stat.S_ISDIR(folder.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    python = f"{sys.implementation.cache_tag} {marshal.version}"
    return f"{python} {folder.st_dev} {folder.st_ino} {_machine()}\n".encode()


@cache
def _machine() -> str:
    """What tells this machine from another that no copy of a store can know of."""
    try:
        return read_plain_file("/etc/machine-id", 100).decode("ascii", "replace").strip()
    except OSError:
        return ""
