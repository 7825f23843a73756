"""A table of teachers, as spreadsheets write it: ModelName, Parameters, Category, BestFeature.

Knows encodings, delimiters, quoting and the ways in which people write sizes; knows no spec.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_COLUMNS = {
    "name": ("modelname", "model", "name", "modelid"),
    "parameters": ("parameters", "params", "size", "parametercount", "modelsize"),
    "category": ("category", "type", "kind"),
    "best_feature": ("bestfeature", "feature", "bestfor", "strength"),
}
_DELIMITERS = (",", ";", "\t", "|")
_UNITS = {
    "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12, "thousand": 10**3, "million": 10**6,
    "mio": 10**6, "billion": 10**9, "bn": 10**9, "trillion": 10**12,
}  # fmt: skip
_SUMS = ("", "total", "totals", "grand total", "in total", "sum", "summe", "gesamt", "insgesamt",
         "average", "mean", "count")  # fmt: skip
_SIZE = re.compile(
    r"(?<![\w.,])(\d+(?:[.,]\d+)?)\s?(k|m|b|t|bn|mio|thousand|million|billion|trillion)"
    r"(?![A-Za-z0-9])",
    re.IGNORECASE,
)


class TableError(Exception):
    """The file is no such table; says what is wrong and where."""


@dataclass(frozen=True)
class TeacherRow:
    """One row. line: where it begins in the file, from 1. parameters: as it was written."""

    line: int
    name: str
    parameters: str = ""
    category: str = ""
    best_feature: str = ""

    @property
    def is_sum(self) -> bool:
        """Whether it is no model but what a spreadsheet adds up below them."""
        says_nothing = not (self.category or self.best_feature)
        return says_nothing and self.name.strip(" :=").casefold() in _SUMS


def read_teachers(path: Path) -> list[TeacherRow]:
    """Every row below the header that is not empty. Raises TableError and OSError."""
    text = decode_text(path.read_bytes(), str(path))
    delimiter = _delimiter(text, path)
    columns: dict[str, int] = {}
    width = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for fields in reader:
            start, line = line, reader.line_num + 1
            if not any(field.strip() for field in fields):
                continue
            if not columns:
                columns, width = _places(fields), len(fields)
                continue
            values = {
                key: " ".join(fields[place].split()) if place < len(fields) else ""
                for key, place in columns.items()
            }
            if not values["name"] and (values["category"] or values["best_feature"]):
                raise TableError(f"{path}:{start}: the row names no model")
            if any(field.strip() for field in fields[width:]):
                raise TableError(
                    f"{path}:{start}: more fields than the header has columns; "
                    f"put a field that contains {delimiter!r} in double quotes"
                )
            rows.append(TeacherRow(start, **values))
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: not a table: {error}") from None
    if not rows:
        raise TableError(f"{path}: has no rows below its header")
    return rows


def decode_text(content: bytes, name: str) -> str:
    """The text of a file that a spreadsheet wrote: UTF-8 or UTF-16, with or without a mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(f"{name}: is no text that can be read; save it as CSV in UTF-8")


def parameter_count(text: str) -> int | None:
    """The number in `4B`, `0.6b`, `300M`, `30B-A3B`, `1,7 billion`; None where there is none.

    Of several the first counts: of a mixture of experts that is the whole model.
    """
    plain = text.strip().replace("_", "")
    if re.fullmatch(r"\d{6,}", digits := re.sub(r"[ ,.']", "", plain)):
        return int(digits)
    found = _SIZE.search(plain)
    if not found or float(found[1].replace(",", ".")) <= 0:
        return None
    return round(float(found[1].replace(",", ".")) * _UNITS[found[2].lower()])


def written_count(number: int) -> str:
    """A number of parameters as a spec writes it: 4B, 600M, 1.7B."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        text = f"{number / size:.4g}"
        if number >= size and "e" not in text:
            return f"{text}{unit}"
    return str(number)


def _delimiter(text: str, path: Path) -> str:
    """What the header separates its columns with."""
    for delimiter in _DELIMITERS:
        if "name" in _places(_header(text, delimiter)):
            return delimiter
    found = ", ".join(_header(text)) or "nothing"
    raise TableError(
        f"{path}:1: no column ModelName; the header has: {found[:200]}\n"
        "    wanted: ModelName,Parameters,Category,BestFeature (separated by , ; | or tabs)"
    )


def _header(text: str, delimiter: str | None = None) -> list[str]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    if delimiter is None:
        delimiter = max(_DELIMITERS, key=first.count)
    try:
        return [field.strip() for field in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _places(header: Iterable[str]) -> dict[str, int]:
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in header]
    return {
        key: plain.index(name)
        for key, names in _COLUMNS.items()
        for name in reversed(names)
        if name in plain
    }
