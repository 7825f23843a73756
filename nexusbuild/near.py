"""Paths as a person writes them, from where they are."""

from __future__ import annotations

from pathlib import Path


def near(path: str | Path, folder: Path | None = None) -> str:
    """An absolute path as seen from `folder`, or from where a person is, if it lies within."""
    try:
        return str(Path(path).relative_to(folder or Path.cwd()))
    except ValueError:
        return str(path)
