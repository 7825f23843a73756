"""Prompt, answer and tests out of a record, by key, dotted path or text with keys in braces."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

HOLES = re.compile(r"\{([^{}]+)\}")


class MissingFieldError(LookupError):
    """A record has no such field. detail: what it has instead."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"no field {path!r}")
        self.detail = detail


def text_at(fields: dict[str, Any], path: str) -> str:
    """The text that `path` means in a record.

    A string is itself; any other JSON value is its canonical compact text. Outer white space
    goes, but for the indentation of a first line. Raises MissingFieldError.
    """
    if HOLES.search(path) and path not in fields:
        text = HOLES.sub(lambda hole: _text(_value_at(fields, hole[1])), path)
    else:
        text = _text(_value_at(fields, path))
    return text.replace("\r\n", "\n").lstrip("\n").rstrip()


def texts_at(fields: dict[str, Any], path: str) -> list[str]:
    """The texts of a list in a record; one text counts as a list of one."""
    if not HOLES.search(path):
        value = _value_at(fields, path)
        if isinstance(value, list):
            return [_text(item).replace("\r\n", "\n") for item in value]
    return [text_at(fields, path)]


def _value_at(fields: dict[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    value: Any = fields
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise MissingFieldError(path, _instead(part, value))
    return value


def _instead(part: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"nothing at {part!r}"
    names = ", ".join(repr(name) for name in value) or "no field"
    near = difflib.get_close_matches(part, value, n=1)
    return f"the row has {names}" + (f"; the nearest is {near[0]!r}" if near else "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
