"""A file of plain values that may be lost at any time: quick to read, never trusted unseen.

The values are marshalled, several times as fast as JSON; unlike a pickle it can name no code. What
stands before them is their digest and the interpreter that wrote them: a file that was cut off,
damaged, or written by another Python counts as absent.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from pathlib import Path
from typing import Any

_PYTHON = f"{sys.implementation.cache_tag} {marshal.version}\n".encode()
_DIGEST_BYTES = 32


def read_values(path: Path) -> Any | None:
    """What was written there, or None."""
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read()
    except OSError:
        return None
    if not content.startswith(_PYTHON):
        return None
    start = len(_PYTHON) + _DIGEST_BYTES
    values = memoryview(content)[start:]
    if hashlib.sha256(values).digest() != content[len(_PYTHON) : start]:
        return None
    return marshal.loads(values)


def write_values(path: Path, values: Any) -> None:
    """Whole or not at all; one that cannot be written is merely slower next time."""
    try:
        content = marshal.dumps(values)
    except ValueError:  # something in it is no plain value
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(_PYTHON + hashlib.sha256(content).digest() + content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
