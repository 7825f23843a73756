"""Records of data files: JSON Lines, JSON, CSV and TSV, each also gzipped.

A record is an object as the file has it, with the place it came from; what its keys mean is not
decided here.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
LARGEST_FIELD = 1 << 24


@dataclass(frozen=True)
class Record:
    """One object of a file. place: file name and line, or file name and index."""

    fields: dict[str, Any]
    place: str


def data_files(path: Path) -> list[Path]:
    """The data files that a path means: itself, or all below a folder, in order of their names.

    Raises ValueError where there is none, or a file's format is not known.
    """
    if path.is_dir():
        files = sorted(file for file in _files_below(path) if _format(file))
        if not files:
            raise ValueError(f"{path}: no data file in this folder ({', '.join(FORMATS)}, or .gz)")
        return files
    if _format(path) is None:
        raise ValueError(
            f"{path}: the format is not known; give one of {', '.join(FORMATS)}, or these as .gz"
        )
    return [path]


def _files_below(directory: Path) -> Iterator[Path]:
    """Every file whose digest is part of the folder's: links followed, each folder entered once.

    Names below the folder that begin with a dot are no part of its content.
    """
    entered: set[Path] = set()
    for name, folders, files in os.walk(directory, followlinks=True):
        folder = Path(name)
        real = folder.resolve()
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(below for below in folders if not below.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and (folder / file).is_file():
                yield folder / file


def records(path: Path) -> Iterator[Record]:
    """The records of one data file. Raises ValueError naming the line that cannot be read."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        try:
            if _format(path) in (".csv", ".tsv"):
                yield from _of_table(text, path)
            elif _format(path) == ".json":
                yield from _of_json(text.read(), path)
            else:
                yield from _of_lines(text, path)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{path}: not a whole gzip file ({error})") from error


def _format(path: Path) -> str | None:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return suffix.lower() if suffix.lower() in FORMATS else None


def _of_lines(text: io.TextIOBase, path: Path) -> Iterator[Record]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}:{error.colno}: not JSON: {error.msg}; each line must be an object"
            ) from error
        yield _record(value, path, number)


def _of_json(text: str, path: Path) -> Iterator[Record]:
    """A list of objects; or an object with one list of objects; or JSON Lines by another name."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and error.msg == "Extra data":
            yield from _of_lines(io.StringIO(text), path)
            return
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    if isinstance(value, dict):
        lists = [key for key, held in value.items() if isinstance(held, list)]
        if len(lists) != 1:
            raise ValueError(
                f"{path}: an object with {len(lists)} lists; rows must be a list of objects"
            )
        value = value[lists[0]]
    if not isinstance(value, list):
        raise ValueError(f"{path}: rows must be a list of objects")
    for index, row in enumerate(value):
        yield _record(row, path, index)


def _of_table(text: io.TextIOBase, path: Path) -> Iterator[Record]:
    csv.field_size_limit(LARGEST_FIELD)
    reader = csv.DictReader(text, delimiter="\t" if _format(path) == ".tsv" else ",", strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(
                    f"{path}:{reader.line_num}: not as many cells as the header has names "
                    f"({len(reader.fieldnames or ())})"
                )
            yield Record(row, f"{path.name}:{reader.line_num}")
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}") from error


def _record(value: Any, path: Path, number: int) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"{path}:{number}: a {type(value).__name__}; a row must be an object")
    return Record(value, f"{path.name}:{number}")
