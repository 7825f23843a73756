"""Where results are shown, and whether they are: build/ and dist/. `publish` puts them there."""

# ruff: noqa: PTH112, PTH114, PTH118
# Visits whole trees; os is several times as fast as pathlib.

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from nexusbuild.digest.digests import FileDigests
from nexusbuild.errors import BuildError
from nexusbuild.rule.record import Record


def readable_path(target: str) -> Path:
    """`profile:scholar/reasoning` -> profile/scholar/reasoning."""
    return Path(_readable_name(target))


def is_shown(build: Path, target: str) -> bool:
    """Whether build/ has a view of this target."""
    return os.path.isdir(f"{build}/{_readable_name(target)}")


def _readable_name(target: str) -> str:
    kind, _, name = target.partition(":")
    return "/".join([kind, *(part for part in name.split("/") if part not in ("", ".", ".."))])


def is_published(dist: Path, record: Record, published: str | None, digests: FileDigests) -> bool:
    """Whether dist/ holds this result: it was put there last, and its folders and files there hold
    exactly these files with these bytes. What lies next to them is no concern of it.
    """
    if published != record.key:
        return False
    wanted = {str(dist / output.path): output.sha256 for output in record.outputs}
    try:
        if set(_files_at(dist / top for top in top_names(record))) != wanted.keys():
            return False
        for output in record.outputs:
            found = os.lstat(dist / output.path)
            if not stat.S_ISREG(found.st_mode) or found.st_size != output.bytes:
                return False
        return digests.of_files(wanted) == wanted
    except (OSError, BuildError):
        return False


def top_names(record: Record) -> list[str]:
    """The folders and files that it takes up in dist/."""
    return sorted({output.path.partition("/")[0] for output in record.outputs})


def _files_at(places: Iterable[Path]) -> Iterator[str]:
    """Every file there or below, hidden ones and links included."""
    for place in places:
        if place.is_symlink() or not place.is_dir():
            yield str(place)
            continue
        for folder, folders, files in os.walk(place):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            yield from (os.path.join(folder, name) for name in (*files, *links))
