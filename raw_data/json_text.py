"""The first rows of JSON text that may be cut: JSON Lines, an array, an object with rows in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from raw_data.conversations import as_messages

JsonKind = Literal["lines", "array", "object"]
DECODER = json.JSONDecoder()


def json_head(text: str, whole: bool, most: int) -> tuple[JsonKind, list[Any], str] | None:
    """How JSON text holds its rows, the first of them, and the key that they stand under.

    None where it is not JSON. whole: whether nothing of the text was cut.
    """
    start = len(text) - len(text.lstrip())
    lines = _lines(text, whole, most)
    if text[start] == "{":
        if len(lines) > 1 or (lines and not whole):
            return "lines", lines, ""
        return _object(text, start, whole, most)
    if len(lines) > 1:
        return "lines", lines, ""
    rows = _elements(text, start + 1, most)
    if rows is None:
        return None
    usable = [row for row in rows if isinstance(row, dict | list)]
    return ("array", usable, "") if len(usable) == len(rows) or not whole else None


def _lines(text: str, whole: bool, most: int) -> list[Any]:
    """Objects or lists that stand on a line each; empty where a line is something else."""
    rows: list[Any] = []
    lines = text.split("\n", 4 * most)
    complete = lines if whole else lines[:-1]
    for line in complete:
        if len(rows) == most:
            break
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            # One bad line in many does not make it another format.
            if len(rows) >= 2:
                continue
            return []
        if not isinstance(value, dict | list):
            return []
        rows.append(value)
    return rows


def _object(
    text: str, start: int, whole: bool, most: int
) -> tuple[JsonKind, list[Any], str] | None:
    """An object: rows under its first key that holds a list of objects, else itself as one row."""
    fields: dict[str, Any] = {}
    place = start + 1
    try:
        while True:
            place = _skip(text, place, ",")
            if text[place : place + 1] == "}":
                return "object", [fields], ""
            if text[place : place + 1] != '"':
                return None
            key, place = DECODER.raw_decode(text, place)
            place = _skip(text, place, ":")
            if text[place : place + 1] == "[":
                rows = _elements(text, place + 1, most) or []
                if rows and all(isinstance(row, dict) for row in rows) and not as_messages(rows):
                    return "object", rows, key
            fields[key], place = DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None if whole else ("object", [], "")


def _elements(text: str, place: int, most: int) -> list[Any] | None:
    """The elements of an array that begins before `place`; None where it holds no JSON."""
    found: list[Any] = []
    for value in _each(text, place):
        found.append(value)
        if len(found) == most:
            break
    return found if found or text[_skip(text, place, "") :][:1] in ("]", "{", "[", "") else None


def _each(text: str, place: int) -> Iterator[Any]:
    while True:
        place = _skip(text, place, ",")
        if text[place : place + 1] in ("]", ""):
            return
        try:
            value, place = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield value


def _skip(text: str, place: int, mark: str) -> int:
    """Past white space and one `mark`."""
    marked = not mark
    while place < len(text) and (text[place] in " \t\r\n" or (not marked and text[place] == mark)):
        marked = marked or text[place] == mark
        place += 1
    return place
