"""Files and models that lie in two places: by link, by another path, or as a copy byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from nexusbuild.plugins import SpecFolder
from specs.teachers import Teacher

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = "*.safetensors"


def same_model(folder: SpecFolder, one: Teacher, other: Teacher) -> str | None:
    """How the two teachers are one model, in words; None where that is not seen.

    Folders are compared by real path; then weights by size, and by content where the sizes agree.
    What is saved in another form is seen only when both are opened: the registry compares tensors.
    """
    hubs = _hubs(one) & _hubs(other)
    if hubs:
        return f"both come from {min(hubs)}"
    here, there = one.source.path, other.source.path
    if here is None or there is None:
        return None
    if overlaps(folder.real_path(here), [folder.real_path(there)]):
        return f"{here} and {there} are one directory"
    if _holds_copies(folder, here, there) or _holds_copies(folder, there, here):
        return f"{there} has a copy of the weights in {here}"
    return None


def copied_file(folder: SpecFolder, paths: list[str], others: list[str]) -> str | None:
    """The first file at `paths`, or below, whose bytes a file at `others` has, too."""
    known: dict[int, list[str]] = {}
    for path, size in _files(folder, others):
        known.setdefault(size, []).append(path)
    for path, size in _files(folder, paths):
        if any(folder.is_copy(path, other) for other in known.get(size, ())):
            return path
    return None


def overlaps(path: Path, others: list[Path]) -> bool:
    """Whether it is one of the others, or lies in one, or holds one."""
    return any(path == other or path in other.parents or other in path.parents for other in others)


def _hubs(teacher: Teacher) -> set[str]:
    """Models of a hub that it is, by what the spec says of it."""
    source = teacher.source
    said = (source.hub, source.origin)
    return {each.lower() for each in said if each is not None and _HUB_NAME.fullmatch(each)}


def _holds_copies(folder: SpecFolder, path: str, other: str) -> bool:
    """Whether all weights in one directory are in the other, under whatever names."""
    weights = folder.files(f"{escape(path)}/{_WEIGHTS}")
    return bool(weights) and all(
        any(size == bytes_there and folder.is_copy(file, there) for there, bytes_there in others)
        for others in [folder.files(f"{escape(other)}/{_WEIGHTS}")]
        for file, size in weights
    )


def _files(folder: SpecFolder, paths: list[str]) -> Iterator[tuple[str, int]]:
    """(path, bytes) of every file that is not empty, at these paths and below."""
    for path in paths:
        found = folder.files(escape(path)) + folder.files(f"{escape(path)}/**")
        yield from ((file, size) for file, size in found if size)
