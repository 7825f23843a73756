"""Read and write files that someone else may have put a trap in place of.

A pipe would block the reader, a link would lead the writer elsewhere, a huge file would fill the
memory. Here a file is plain, of bounded size, and written whole or not at all.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_plain_file(path: str | Path, most: int | None = None) -> int:
    """A descriptor for reading. Raises OSError where it is a link, is no plain file, or has more
    than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    if most is not None and found.st_size > most:
        os.close(descriptor)
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return descriptor


def read_plain_file(path: str | Path, most: int) -> bytes:
    """Its bytes, `most` of them at most. Raises OSError as `open_plain_file`."""
    with os.fdopen(open_plain_file(path, most), "rb", buffering=0) as file:
        content = file.read(most + 1)
    if content is None or len(content) > most:  # it grew meanwhile
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def replace_file(path: Path, content: bytes, durable: bool = False) -> None:
    """Put a file of these bytes there, whole or not at all. durable: also after a power cut.

    The file is written under one name next to `path` by every process: what a killed one left
    under it is overwritten, and a link under it is removed, not followed.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
