"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or what takes the place of one, with its rights; a link stays a link."""
    real = path.resolve()
    with _beside(real, content) as written:
        if real.exists():
            shutil.copymode(real, written)
        written.replace(real)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Raises FileExistsError where there is one."""
    with _beside(path, content) as written:
        os.link(written, path)


@contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file of another name, which is gone afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
