"""A record's list of digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modalities.missing_field import MissingFieldError
from toy_numbers.digits import are_digits


def part(fields: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> list[int]:
    """The list itself: it is small enough to stand in the row."""
    key = settings["numbers"]
    if key not in fields:
        raise MissingFieldError(key, f"the row has {', '.join(fields)}")
    value = fields[key]
    if not are_digits(value):
        raise ValueError(f"{key} is not a list of digits")
    return list(value)
