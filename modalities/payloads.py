"""What a row reads besides text, where it is too large for the row: files named by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "media"


def write_payload(folder: Path, content: bytes, suffix: str) -> str:
    """Keep a payload below `folder`; the name by which a row's part refers to it.

    suffix: with its dot. The same content is kept once.
    """
    name = f"{hashlib.sha256(content).hexdigest()}{suffix}"
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return f"{FOLDER}/{name}"


def rows_with_paths(rows: Iterable[Mapping[str, Any]], folder: Path | None) -> list[dict[str, Any]]:
    """The rows with paths of files in place of the names that their parts give.

    folder: where the data set keeps its payloads; None where it has none.
    """
    return [_with_paths(dict(row), folder) for row in rows]


def _with_paths(row: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    if folder is None or "parts" not in row:
        return row
    prefix = f"{FOLDER}/"
    parts = {
        medium: str(folder / value.removeprefix(prefix))
        if isinstance(value, str) and value.startswith(prefix)
        else value
        for medium, value in row["parts"].items()
    }
    return {**row, "parts": parts}
