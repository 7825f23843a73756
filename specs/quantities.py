"""Sizes, durations and counts as people write them: `16GB`, `512MiB`, `2h`, `1h30m`, `8B`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

# Key of the JSON Schema under which a type says in words what it allows.
ALLOWED = "x-allowed"

# As memory is sold: 16GB of RAM are 16 * 2**30 bytes. The binary spelling means the same.
_UNITS = ("", "K", "M", "G", "T")
_BYTES = {
    f"{unit}{infix}B": 1024**power
    for power, unit in enumerate(_UNITS)
    for infix in ("", "I")
    if unit or not infix
}
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COUNTS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SIZE_PATTERN = rf"^{_NUMBER} ?(?:[KkMmGgTt][Ii]?)?[Bb]$"
_TIME_UNIT = "(?:min|[smhd])"
_DURATION_PATTERN = rf"^(?:{_NUMBER} ?{_TIME_UNIT} ?)+$"
_COUNT_PATTERN = rf"^{_NUMBER} ?[KMBT]$"


def parse_size(text: str) -> int:
    """Bytes in `16GB`, which is `16GiB`; ValueError where the text is no size."""
    match = re.fullmatch(rf"({_NUMBER}) ?([A-Za-z]+)", text.strip())
    if not match or match.group(2).upper() not in _BYTES:
        raise ValueError(f"{text!r} is not a size")
    return int(float(match.group(1)) * _BYTES[match.group(2).upper()])


def parse_duration(text: str) -> float:
    """Seconds in `45s`, `2h`, `1h30m` or `20 min`; ValueError where the text is no duration."""
    if not re.fullmatch(_DURATION_PATTERN, text.strip()):
        raise ValueError(f"{text!r} is not a duration")
    parts = re.findall(rf"({_NUMBER}) ?({_TIME_UNIT})", text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_count(text: str) -> int:
    """The number in `600M` or `1.7B`; ValueError where the text is no count."""
    match = re.fullmatch(rf"({_NUMBER}) ?([KMBT])", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a count")
    return round(float(match.group(1)) * _COUNTS[match.group(2)])


def _size(value: Any) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError:
            pass
    raise PydanticCustomError("size", "not a size")


def _duration(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            pass
    raise PydanticCustomError("duration", "not a duration")


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str):
        try:
            return parse_count(value)
        except ValueError:
            pass
    raise PydanticCustomError("count", "not a count")


Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {"type": "string", "pattern": _SIZE_PATTERN, ALLOWED: "a size such as 16GB or 512MiB"}
    ),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": _DURATION_PATTERN},
            ],
            ALLOWED: "seconds, or a duration such as 90s, 2h or 1h30m",
        }
    ),
]
Count = Annotated[
    int,
    BeforeValidator(_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": _COUNT_PATTERN},
            ],
            ALLOWED: "a number, or one such as 600M or 8B",
        }
    ),
]
