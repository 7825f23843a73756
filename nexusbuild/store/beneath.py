"""An open folder, and what is written below it: no path leads out, no link on the way is followed.

The paths come from records. They are checked before (`record_check`); here a link that lies in the
way, no matter who put it there and when, is an error and not a way out.
"""

# Works on descriptors, which pathlib does not know.

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from functools import cache
from pathlib import Path
from types import TracebackType

from nexusbuild import errors
from nexusbuild.digest.plain_file import open_plain_file

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENAT2 = 437  # one number on every kind of machine
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_RENAME_EXCHANGE = 2
_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV)
_CANNOT_LINK = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP)


class Folder:
    """A folder held open; to be used with `with`. Paths have forward slashes, without `..`.

    Raises BuildError where a link is in the way, OSError for what the system refuses.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        """name: how to speak of it."""
        self.descriptor = descriptor
        self._name = name

    @classmethod
    def at(cls, path: Path) -> Folder:
        """The folder of this path, made where it is missing. The path is a person's own choice, so
        links in it are followed.
        """
        path.mkdir(parents=True, exist_ok=True)
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), str(path))

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)

    def below(self, path: str) -> Folder:
        """The folder `path` in it, made where it is missing; `""` or `.` is itself."""
        where = f"{self._name}/{path}"
        try:
            return Folder(_open_folder(self.descriptor, path), where)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise errors.link_in_the_way(where) from error
            raise

    def copy(self, source: Path, path: str) -> None:
        """Write a new file with the bytes of the plain file `source`."""
        folder, _, name = path.rpartition("/")
        with self.below(folder) as parent, os.fdopen(open_plain_file(source), "rb") as reading:
            descriptor = os.open(name, _NEW_FILE, 0o644, dir_fd=parent.descriptor)
            with os.fdopen(descriptor, "wb") as writing:
                shutil.copyfileobj(reading, writing, 1 << 20)

    def link(self, source: Path, path: str) -> None:
        """Give the plain file `source` one more name; a read-only copy where that cannot be."""
        folder, _, name = path.rpartition("/")
        with self.below(folder) as parent:
            try:
                os.link(source, name, dst_dir_fd=parent.descriptor, follow_symlinks=False)
                return
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
            parent.copy(source, name)
            os.chmod(name, 0o444, dir_fd=parent.descriptor)

    def symlink(self, text: str, path: str) -> None:
        """Write a link that leads to `text`."""
        folder, _, name = path.rpartition("/")
        with self.below(folder) as parent:
            os.symlink(text, name, dir_fd=parent.descriptor)

    def remove(self, name: str) -> None:
        """Remove the file, the link or the whole folder of this name, if it is there."""
        kind = self._kind(name)
        if kind is None:
            return
        if not stat.S_ISDIR(kind):
            os.unlink(name, dir_fd=self.descriptor)
            return
        for _, folders, files, descriptor in os.fwalk(name, topdown=False, dir_fd=self.descriptor):
            for each in files:
                os.unlink(each, dir_fd=descriptor)
            for each in folders:
                try:
                    os.rmdir(each, dir_fd=descriptor)
                except NotADirectoryError:  # a link to one
                    os.unlink(each, dir_fd=descriptor)
        os.rmdir(name, dir_fd=self.descriptor)

    def swap_in(self, fresh: str, name: str) -> None:
        """Put `fresh` where `name` is; anyone who looks sees the one or the other, whole."""
        kinds = self._kind(fresh), self._kind(name)
        if kinds[1] is None or not any(stat.S_ISDIR(kind or 0) for kind in kinds):
            os.replace(fresh, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            return
        if _exchange(self.descriptor, fresh, name):
            self.remove(fresh)
            return
        # No exchange on this file system: a moment without `name` cannot be helped.
        old = f"{fresh.removesuffix('.new')}.old"
        self.remove(old)
        os.rename(name, old, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        os.rename(fresh, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        self.remove(old)

    def _kind(self, name: str) -> int | None:
        """The mode of what has this name, a link being itself; None where nothing has."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None


def _open_folder(top: int, path: str) -> int:
    """A descriptor of the folder `path` below `top`, made where it is missing."""
    try:
        return _opened_at_once(top, path or ".")
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOSYS, errno.EPERM, errno.EINVAL):
            raise
    return _walk(top, path)


def _opened_at_once(top: int, path: str) -> int:
    """By one call that leaves the check to the kernel: Linux's openat2, from 5.6 on."""
    how = (ctypes.c_uint64 * 3)(
        _FOLDER, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    )
    found = _libc().syscall(
        _OPENAT2, top, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(found)


def _walk(top: int, path: str) -> int:
    """Part by part, each opened in the one before."""
    here = os.dup(top)
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            os.close(here)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o777, dir_fd=here)
            inner = os.open(part, _FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here


def _exchange(folder: int, one: str, other: str) -> bool:
    """Linux's renameat2 with RENAME_EXCHANGE; False where it cannot be had."""
    function = getattr(_libc(), "renameat2", None)
    if function is None:
        return False
    result = function(folder, os.fsencode(one), folder, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(result == 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
