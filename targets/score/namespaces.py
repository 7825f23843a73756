"""Where there is no Landlock: a root of its own with the listed paths in it, and no network.

A user, mount and network namespace. The process sees an empty tmpfs into which the allowed files
are bound, read-only but for the output, and nothing else exists for it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DETACH = 2
# Flags of the mount below that an unprivileged remount has to repeat.
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime


def namespaces_work() -> bool:
    """Whether a process here may have namespaces of its own; tried in a child."""
    child = os.fork()
    if child == 0:
        try:
            _unshare()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def confine(root: Path, readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Make `root`, an empty directory, all that this process sees, with the listed paths in it.

    Paths keep their names; a link shows what it pointed to. Raises OSError where refused.
    """
    working = Path.cwd()
    _unshare()
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", 0)
    for path in sorted(set(writable)):
        _bind(path, root, writes=True)
    for path in sorted(set(readable)):
        _bind(path, root, writes=False)
    old = root / ".old"
    old.mkdir()
    os.chdir(root)
    _check(_library().syscall(_pivot_root_number(), b".", b".old"))
    os.chdir("/")
    _check(_library().umount2(b"/.old", _DETACH))
    Path("/.old").rmdir()
    if working.is_dir():
        os.chdir(working)


def _unshare() -> None:
    user, group = os.getuid(), os.getgid()
    _check(_library().unshare(_NEW_USER | _NEW_MOUNTS | _NEW_NETWORK))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _bind(path: Path, root: Path, *, writes: bool) -> None:
    if not path.exists():
        return
    place = root / path.relative_to("/")
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(str(path.resolve()), str(place), "", _BIND | _RECURSIVE)
    if not writes:
        kept = os.statvfs(place).f_flag & _KEPT_FLAGS
        _mount("none", str(place), "", _BIND | _REMOUNT | _READ_ONLY | kept)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _check(_library().mount(source.encode(), target.encode(), kind.encode(), flags, None))


def _pivot_root_number() -> int:
    return {"x86_64": 155, "aarch64": 41}[os.uname().machine]


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mount.argtypes = (
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_char_p,
    )
    return library


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refused the namespace: {os.strerror(number)}")
    return result
