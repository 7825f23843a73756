"""Text as a table: comma, tab, pipe or semicolon between cells, with or without a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from raw_data.field_names import COLUMNS

DELIMITERS = ",\t|;"
LEAST_ROWS = 3
LEAST_REGULAR = 0.9
LARGEST_CELL = 1 << 24
NAME = re.compile(r"[A-Za-z_][\w .()/-]{0,40}")


def table_head(text: str, whole: bool, most: int) -> tuple[list[dict[str, Any]], str, bool] | None:
    """The first rows of a table, its delimiter, and whether it has a header; None if it is none.

    Columns without a header are called by their numbers, from 0.
    """
    found: list[tuple[float, int, str, list[list[str]]]] = []
    for order, delimiter in enumerate(DELIMITERS):
        rows = _cut(text, whole, delimiter, most)
        if len(rows) < LEAST_ROWS:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        regular = count / len(rows)
        if width > 1 and regular >= LEAST_REGULAR:
            found.append((regular, -order, delimiter, [row for row in rows if len(row) == width]))
    if not found:
        return None
    _, _, delimiter, rows = max(found, key=lambda one: one[:2])
    header = has_header(rows)
    names = rows[0] if header else [str(number) for number in range(len(rows[0]))]
    if not header and _is_prose(rows):
        return None
    return [dict(zip(names, row)) for row in (rows[1:] if header else rows)], delimiter, header


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    Names are short, differ, and are no sentences; and either one is a usual name of a column, or
    a column below is numeric or much longer than its name.
    """
    first, rest = rows[0], rows[1:]
    names = [cell.strip() for cell in first]
    if len(set(names)) < len(names) or not all(NAME.fullmatch(name) for name in names):
        return False
    words = {word for name in names for word in re.split(r"[\W_]+", name.lower())}
    if words & COLUMNS and max(len(name.split()) for name in names) <= 4:
        return True
    columns = list(zip(*rest))
    return any(all(_is_number(cell) for cell in column) for column in columns) or any(
        len(name) * 4 < sum(map(len, column)) / len(column) for name, column in zip(names, columns)
    )


def _cut(text: str, whole: bool, delimiter: str, most: int) -> list[list[str]]:
    if delimiter not in text:
        return []
    csv.field_size_limit(LARGEST_CELL)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                rows.append([cell.strip() for cell in row] if delimiter == "|" else row)
            if len(rows) > most + 1:
                return rows[:-1]
    except csv.Error:
        return []
    return rows if whole else rows[:-1]


def _is_prose(rows: Sequence[Sequence[str]]) -> bool:
    """Sentences that happen to hold as many commas each: their cells begin with a space."""
    cells = [cell for row in rows for cell in row[1:]]
    return sum(cell.startswith(" ") for cell in cells) > len(cells) / 2


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
