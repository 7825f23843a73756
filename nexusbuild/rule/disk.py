"""Questions that a resolver may ask about the disk, and their answers."""

# ruff: noqa: PTH113, PTH118, PTH119, PTH123, PTH202, PTH207
# Asked again in every dry run; os is several times as fast as pathlib.

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATTERN = frozenset("*?[")
_LONGEST_TEXT = 1 << 20
_PIECES = 64
_PIECE_BYTES = 4096


def answer(question: str, root: str, path: str) -> Any:
    """What is asked of a path below `root`.

    `files`: (path, bytes) of what a pattern finds, sorted; a folder, or a link to nowhere, has 0.
    `digests`: (path, digest) of the same. `real_path`: where it lies, with all links followed.
    `text`: what a small file says. `sample`: a digest of its size and of 64 short pieces, evenly
    spread: what differs is no copy. `digest`: of its size and all of it. None: it is not there.
    """
    whole = os.path.join(root, path)
    if question == "real_path":
        return os.path.realpath(whole)
    if question == "text":
        return _text(whole)
    if question in ("sample", "digest"):
        return _digest(whole, _PIECES if question == "sample" else None)
    found = _found(root, path)
    if question == "digests":
        return tuple((each, _digest(os.path.join(root, each), None) or "") for each in found)
    return tuple((each, _bytes(os.path.join(root, each))) for each in found)


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


def _text(path: str) -> str | None:
    try:
        if not os.path.isfile(path):
            return None  # to open a pipe would wait for anyone who writes into it
        with open(path, "rb") as file:
            content = file.read(_LONGEST_TEXT + 1)
        return content.decode("utf-8") if len(content) <= _LONGEST_TEXT else None
    except (OSError, ValueError):
        return None


def _digest(path: str, pieces: int | None) -> str | None:
    import hashlib

    size = _bytes(path)
    if not size:
        return None
    digest = hashlib.sha256(str(size).encode())
    try:
        with open(path, "rb") as file:
            if pieces is None:
                while block := file.read(1 << 20):
                    digest.update(block)
                return digest.hexdigest()
            for piece in range(pieces):
                file.seek(piece * max(0, size - _PIECE_BYTES) // (pieces - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError:
        return None
    return digest.hexdigest()
