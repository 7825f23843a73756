"""Prompt, answer and tests out of a record, by key, dotted path or text with keys in braces."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

from modalities.missing_field import MissingFieldError
from raw_data.conversations import as_messages, text_of

HOLES = re.compile(r"\{([^{}]+)\}")
NUMBER = re.compile(r"-?\d+")


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


def prompt_at(fields: dict[str, Any], path: str) -> str:
    """`text_at`; of a list of chat messages what stands before the assistant's last."""
    said = _messages_at(fields, path)
    if not said:
        return text_at(fields, path)
    before = said[: _last_of_assistant(said)]
    if len(before) == 1 and before[0]["role"] == "user":
        return text_of(before[0]).strip()
    return "\n".join(f"{one['role']}: {text_of(one).strip()}" for one in before)


def answer_at(fields: dict[str, Any], path: str) -> str:
    """`text_at`; of a list of chat messages the assistant's last, or its tool calls."""
    said = _messages_at(fields, path)
    if not said:
        return text_at(fields, path)
    last = said[_last_of_assistant(said) :]
    if not last:
        return ""
    return text_of(last[0]).strip() or _text(last[0]["tool_calls"])


def are_numbers(paths: Iterable[str]) -> bool:
    """Whether every key in these paths is a number: columns without names, from 0."""
    keys = [hole for path in paths for hole in HOLES.findall(path) or [path]]
    return bool(keys) and all(key.partition(".")[0].isdecimal() for key in keys)


def texts_at(fields: dict[str, Any], path: str) -> list[str]:
    """The texts of a list in a record; one text counts as a list of one."""
    if not HOLES.search(path):
        value = _value_at(fields, path)
        if isinstance(value, list):
            return [_text(item).replace("\r\n", "\n") for item in value]
    return [text_at(fields, path)]


def _messages_at(fields: dict[str, Any], path: str) -> list[dict[str, Any]]:
    if HOLES.search(path) and path not in fields:
        return []
    value = _value_at(fields, path)
    return as_messages(value) if isinstance(value, list) else []


def _last_of_assistant(said: list[dict[str, Any]]) -> int:
    """Where the assistant's last message stands; past the end where it says nothing."""
    places = [place for place, one in enumerate(said) if one["role"] == "assistant"]
    return places[-1] if places else len(said)


def _value_at(fields: dict[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    value: Any = fields
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and NUMBER.fullmatch(part) and _has(value, int(part)):
            value = value[int(part)]  # -1 is the last
        else:
            raise MissingFieldError(path, _instead(part, value))
    return value


def _has(value: list[Any], place: int) -> bool:
    return -len(value) <= place < len(value)


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
