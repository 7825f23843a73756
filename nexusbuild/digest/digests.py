"""sha256 of files and directories, parallel, and free for what has not changed.

A file's digest is that of its bytes; a directory's is over the sorted (relative path, sha256) of
its files. Names that begin with a dot do not count.
"""

# ruff: noqa: PTH110, PTH112, PTH113, PTH116, PTH118, PTH123
# Visits whole trees; os is several times as fast as pathlib.

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nexusbuild import errors
from nexusbuild.digest.keys import tree_digest
from nexusbuild.digest.statcache import StatCache

_BLOCK = 1 << 20


def hash_file(path: str | Path) -> str:
    """sha256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def hash_files(paths: list[str]) -> list[str]:
    """sha256 of each; hashing lets go of the interpreter's lock, so threads help."""
    workers = min(len(paths), len(os.sched_getaffinity(0)))
    if workers < 2:
        return [hash_file(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(hash_file, paths))


class FileDigests:
    """Digests of files outside the store, remembered in `cache`."""

    def __init__(self, cache: StatCache) -> None:
        self._cache = cache

    def of_files(self, paths: Iterable[str]) -> dict[str, str]:
        """path -> sha256. A path that cannot be read is a BuildError."""
        known: dict[str, str] = {}
        unknown: dict[str, os.stat_result] = {}
        for path in paths:
            try:
                stat = os.stat(path)
            except OSError as error:
                raise errors.unreadable(path, error) from error
            digest = self._cache.get(path, stat)
            if isinstance(digest, str):
                known[path] = digest
            else:
                unknown[path] = stat
        began = time.time_ns()
        try:
            hashed = hash_files(list(unknown))
        except OSError as error:
            raise errors.unreadable(str(error.filename), error) from error
        for (path, stat), digest in zip(unknown.items(), hashed, strict=True):
            known[path] = digest
            self._cache.put(path, stat, digest, began)
        return known

    def remember(self, known: Mapping[str, str]) -> None:
        """Record the digests of files just written."""
        for path, digest in known.items():
            stat = os.stat(path)
            self._cache.put(path, stat, digest)

    def of_sources(self, paths: Iterable[str]) -> dict[str, str | None]:
        """path -> digest of that file or directory, None where it is missing."""
        wanted = list(dict.fromkeys(paths))
        trees = {path: dict(files_below(path)) for path in wanted if os.path.isdir(path)}
        plain = [path for path in wanted if path not in trees and os.path.exists(path)]
        every = [file for tree in trees.values() for file in tree.values()]
        digests = self.of_files(dict.fromkeys([*plain, *every]))
        found: dict[str, str | None] = dict.fromkeys(wanted)
        found.update({path: digests[path] for path in plain})
        for path, tree in trees.items():
            found[path] = tree_digest((name, digests[file]) for name, file in tree.items())
        return found

    def save_cache(self) -> None:
        self._cache.save_cache()


def files_below(directory: str) -> Iterator[tuple[str, str]]:
    """(relative path, path) of every file, links followed, each directory entered once."""
    for folder, names in tree_below(directory):
        for name in names:
            path = os.path.join(folder, name)
            yield Path(os.path.relpath(path, directory)).as_posix(), path


def tree_below(directory: str) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of a directory and all below it, hidden ones aside."""
    entered: set[str] = set()
    for folder, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield (
            folder,
            [
                name
                for name in sorted(files)
                if not name.startswith(".") and os.path.isfile(os.path.join(folder, name))
            ],
        )
