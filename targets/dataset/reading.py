"""Records of data files: JSON Lines, JSON, tables and parquet, each also gzipped.

A file is what its content says; a name that ends in `.jsonl` or `.tsv` is believed. A record is
an object as the file has it, with the place it came from; what its keys mean is not decided here.
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

from raw_data.formats import GZIP, head_of
from raw_data.parquet import parquet_rows

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".psv", ".parquet")
LARGEST_FIELD = 1 << 24


@dataclass(frozen=True)
class Record:
    """One object of a file. place: file name and line, or file name and row."""

    fields: dict[str, Any]
    place: str


def data_files(path: Path) -> list[Path]:
    """The data files that a path means: itself, or all below a folder, in order of their names.

    Raises ValueError where a folder has none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in _files_below(path) if _suffix(file) in SUFFIXES)
    if not files:
        raise ValueError(f"{path}: no data file in this folder ({', '.join(SUFFIXES)}, or .gz)")
    return files


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


def records(path: Path, *, numbered: bool = False) -> Iterator[Record]:
    """The records of one data file. Raises ValueError naming the line that cannot be read.

    numbered: the columns of a table and the parts of rows that are lists are called by their
    numbers, from 0; a table has no header then.
    """
    kind = _kind(path)
    if kind == "parquet":
        for number, row in enumerate(parquet_rows(path), start=1):
            yield Record(row, f"{path.name}, row {number}")
        return
    with path.open("rb") as beginning:
        packed = beginning.read(2) == GZIP
    opener = gzip.open if packed else open
    with opener(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        try:
            if kind == "table":
                yield from _of_table(text, path, numbered)
            elif kind == "lines":
                yield from _of_lines(text, path, numbered)
            else:
                yield from _of_json(text.read(), path, numbered)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{path}: not a whole gzip file ({error})") from error


def has_header(path: Path) -> bool:
    """Whether the first row of a table looks like names of columns; True where it is no table."""
    return head_of(path).header


def _kind(path: Path) -> str:
    """`lines`, `json`, `table` or `parquet`. Raises ValueError where the content is none of it."""
    suffix = _suffix(path)
    if suffix in (".jsonl", ".ndjson"):
        return "lines"
    if suffix in (".csv", ".tsv", ".psv"):
        return "table"
    head = head_of(path)
    if head.kind in ("lines", "table", "parquet"):
        return head.kind
    if head.kind in ("array", "object") or suffix == ".json":
        return "json"
    why = head.note or f"a {head.kind} file without rows"
    raise ValueError(f"{path}: the format is not known ({why}); give JSON, CSV or parquet")


def _suffix(path: Path) -> str:
    return (Path(path.stem).suffix if path.suffix == ".gz" else path.suffix).lower()


def _of_lines(text: io.TextIOBase, path: Path, numbered: bool) -> Iterator[Record]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}:{error.colno}: not JSON: {error.msg}; each line must be an object"
            ) from error
        yield _record(value, path, f":{number}", numbered)


def _of_json(text: str, path: Path, numbered: bool) -> Iterator[Record]:
    """A list of objects; or an object with one list of objects."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    key = ""
    if isinstance(value, dict):
        lists = [name for name, held in value.items() if isinstance(held, list)]
        objects = [name for name in lists if value[name] and isinstance(value[name][0], dict)]
        if len(objects) != 1:
            raise ValueError(
                f"{path}: an object with {len(lists)} lists; rows must be a list of objects"
            )
        key = f", {objects[0]}"
        value = value[objects[0]]
    if not isinstance(value, list):
        raise ValueError(f"{path}: rows must be a list of objects")
    for number, row in enumerate(value, start=1):
        yield _record(row, path, f"{key}, row {number}", numbered)


def _of_table(text: io.TextIOBase, path: Path, numbered: bool) -> Iterator[Record]:
    csv.field_size_limit(LARGEST_FIELD)
    head = head_of(path)
    delimiter = "\t" if _suffix(path) == ".tsv" else head.delimiter
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        for row in reader:
            if not row:
                continue
            cells = [cell.strip() for cell in row] if delimiter == "|" else row
            if not names:
                names = [str(number) for number in range(len(cells))] if numbered else cells
                if not numbered:
                    continue
            if len(cells) != len(names):
                which = "the first row has cells" if numbered else "the header has names"
                raise ValueError(
                    f"{path}:{reader.line_num}: not as many cells as {which} ({len(names)})"
                )
            yield Record(dict(zip(names, cells)), f"{path.name}:{reader.line_num}")
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}") from error


def _record(value: Any, path: Path, place: str, numbered: bool) -> Record:
    if numbered and isinstance(value, list):
        value = {str(number): part for number, part in enumerate(value)}
    if not isinstance(value, dict):
        raise ValueError(f"{path}{place}: a {type(value).__name__}; a row must be an object")
    return Record(value, f"{path.name}{place}")
