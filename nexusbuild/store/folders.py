"""The folders of a store: which there are, that each is a real one, and how trees are removed."""

# ruff: noqa: PTH101, PTH113, PTH114, PTH118
# Visits whole trees; os is several times as fast as pathlib.

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nexusbuild import errors

FOLDERS = (
    "objects",
    "actions",
    "own",
    "current",
    "aliases",
    "published",
    "builds",
    "runs",
    "tmp",
    "scratch",
)
_ALL = (*FOLDERS, "cache")


def check_folders(root: Path) -> None:
    """Raise BuildError where a folder of the store is a link or a file: what is written, tidied up
    or dropped in it would lie elsewhere. A store that was copied may bring such.
    """
    for name in _ALL:
        path = root / name
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            raise errors.store_unwritable(str(root), error) from error
        if not stat.S_ISDIR(kind):
            raise errors.link_in_the_way(str(path))


def plain_files_below(directory: Path, target: str) -> list[str]:
    """The files that the work of `target` wrote. Raises BuildError where one is a link or the
    like, and where there is none.
    """
    paths: list[str] = []
    for folder, folders, files in os.walk(directory):
        folders.sort()
        links = [each for each in folders if os.path.islink(f"{folder}/{each}")]
        for name in sorted(files) + links:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                raise errors.not_a_plain_file(target, os.path.relpath(path, directory))
            paths.append(path)
    if not paths:
        raise errors.wrote_nothing(target)
    return paths


def sync_folder(path: Path) -> None:
    """Have the names in it there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a file or a tree, also where work left directories that cannot be written."""
    if path.is_dir() and not path.is_symlink():
        for folder in [str(path), *_folders_below(path)]:
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _folders_below(path: Path) -> Iterator[str]:
    for folder, folders, _ in os.walk(path):
        for name in folders:
            if not os.path.islink(os.path.join(folder, name)):
                yield os.path.join(folder, name)
