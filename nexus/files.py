"""Read a file once, whole, into memory: what is hashed is what is parsed, and stays what it was.

Nothing is mapped: a mapped file that is edited changes the tensors in it, and one that is cut short
ends the process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

# Bytes that stay in a processor's cache between being read and being hashed.
CHUNK = 1 << 20
# To open a pipe would wait for who writes to it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Folder:
    """Files in one folder by name. Raises OSError and ValueError as `read_file`."""

    path: Path

    def read(self, name: str) -> bytearray:
        """All bytes of a file, in memory that is nobody else's."""
        return read_file(self.path / name)


def as_folder(directory: Path | Folder) -> Folder:
    """A directory as a `Folder`."""
    return directory if isinstance(directory, Folder) else Folder(directory)


def read_file(path: Path) -> bytearray:
    """All bytes of an ordinary file. Raises OSError, and ValueError where it is anything else."""
    with open_file(path) as file:
        return read_exactly(file, size_of(file))


@contextmanager
def open_file(path: Path, *, alone: bool = False) -> Iterator[FileIO]:
    """An ordinary file, open for reading. alone: no link may lead to it, nor a second name.

    Raises OSError, and ValueError where it is anything else.
    """
    flags = _FLAGS | (getattr(os, "O_NOFOLLOW", 0) if alone else 0)
    with FileIO(str(path), "rb", opener=lambda name, _: os.open(name, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no ordinary file")
        if alone and found.st_nlink > 1:
            raise ValueError("it is a hard link: the same file has another name")
        yield file


def size_of(file: FileIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_exactly(
    file: FileIO, size: int, hashed: Callable[[memoryview], None] = lambda _: None
) -> bytearray:
    """The next `size` bytes. hashed: is given each piece of them as it is read.

    Raises ValueError where there are fewer.
    """
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        count = file.readinto(view[done : done + CHUNK])
        if not count:
            raise ValueError(f"it ends after {done} of {size} bytes")
        hashed(view[done : done + count])
        done += count
    return content
