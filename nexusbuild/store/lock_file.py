"""One builder at a time in one store: the second waits, and says for what.

The lock belongs to an open file, not to a process: a builder hands it to the children that work in
the store for it. So where a builder is killed, the next one waits until its last child is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nexusbuild import errors
from nexusbuild.store.folders import check_folders

_LOOK_AGAIN_SECONDS = 0.1


@contextlib.contextmanager
def builder_lock(root: Path, doing: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the store at `root`; the descriptor of the lock, to be handed on.

    `waiting` is told, once per holder, whom this one waits for.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(root / "lock", flags, 0o644)
    except OSError as error:
        raise errors.store_unwritable(str(root), error) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # the note would go elsewhere
            raise errors.link_in_the_way(str(root / "lock"))
        check_folders(root)
        told = ""
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(descriptor)
                if holder != told:
                    waiting(f"waiting for {holder}")
                    told = holder
                time.sleep(_LOOK_AGAIN_SECONDS)
        note = {"process": os.getpid(), "host": os.uname().nodename, "doing": doing}
        content = json.dumps({**note, "since": time.strftime("%Y-%m-%d %H:%M:%S")}).encode()
        with contextlib.suppress(OSError):  # the note is a courtesy: a full disk must not stop gc
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        about = (
            f"({note['doing']}; process {note['process']} on {note['host']}, since {note['since']})"
        )
        here = note["host"] == os.uname().nodename
        if here and not _lives(int(note["process"])):
            return f"the last child of another nexusbuild that was killed {about}"
        return f"another nexusbuild {about}"
    except (ValueError, KeyError, TypeError):
        return "another nexusbuild"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is someone else's
        return True
    return True
