"""Move or link one file to a place where nothing stands, so that at any moment it is in one place.

Nothing is ever overwritten. Within a file system a move is one system call; between two the copy
takes its place whole, and only then the original goes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

CURRENT_FOLDER = -100  # AT_FDCWD of <fcntl.h>
NO_REPLACE = 1  # RENAME_NOREPLACE of <linux/fs.h>
UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def move(source: Path, place: Path) -> None:
    """Move a file. Raises FileExistsError where something stands at `place`, and other OSError."""
    try:
        _rename(source, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _carry_over(source, place)


def link(source: Path, place: Path) -> None:
    """Make `place` a link to a file that stays where it is. Raises FileExistsError, OSError."""
    place.symlink_to(os.path.relpath(source.resolve(), place.parent.resolve()))


def _rename(source: Path, place: Path) -> None:
    if _renameat2 is not None:
        failed = _renameat2(
            CURRENT_FOLDER, os.fsencode(source), CURRENT_FOLDER, os.fsencode(place), NO_REPLACE
        )
        number = ctypes.get_errno()
        if not failed:
            return
        if number not in UNSUPPORTED:
            raise OSError(number, os.strerror(number), str(source), None, str(place))
    # A second name and then not the first: killed between the two, it has both, and loses none.
    os.link(source, place)
    source.unlink()


def _carry_over(source: Path, place: Path) -> None:
    """To another file system: copied next to `place`, written to disk, named, then removed here."""
    temporary = place.with_name(f".{place.name}.part")  # one that a kill left is written again
    try:
        shutil.copy2(source, temporary)
        with temporary.open("rb+") as copy:
            os.fsync(copy.fileno())
        _rename(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
    source.unlink()


def _find_renameat2() -> Callable[..., int] | None:
    """rename(2) that refuses to overwrite; None where the C library has none."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return found


_renameat2 = _find_renameat2()
