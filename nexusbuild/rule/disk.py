"""Questions that a resolver may ask about the disk, and their answers."""

# ruff: noqa: PTH113, PTH118, PTH119, PTH202, PTH207
# Asked again in every dry run; os is several times as fast as pathlib.

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATTERN = frozenset("*?[")


def answer(question: str, root: str, path: str) -> Any:
    """`files`: (path, bytes) of what a pattern finds below `root`, sorted; a folder, or a link to
    nowhere, has 0. `real_path`: where a path lies, with all links followed.
    """
    if question == "real_path":
        return os.path.realpath(os.path.join(root, path))
    return tuple((found, _bytes(os.path.join(root, found))) for found in _found(root, path))


def _found(root: str, pattern: str) -> list[str]:
    if _PATTERN.isdisjoint(pattern) and os.path.basename(pattern):
        return [pattern] if os.path.lexists(os.path.join(root, pattern)) else []
    # Path.glob refuses some patterns, and would take brackets in the folder's own name for one.
    from glob import glob

    return sorted(glob(pattern, root_dir=root, recursive=True))


def _bytes(path: str) -> int:
    try:
        return os.path.getsize(path) if os.path.isfile(path) else 0
    except OSError:
        return 0
