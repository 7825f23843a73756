"""Values out of JSON that may be missing, damaged or of another version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_object(text: str | None) -> Mapping[str, Any]:
    """The object that a text holds; an empty one where it holds none."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


LARGEST = 1 << 40  # nothing that is counted here comes near


def whole_number(value: Any) -> int | None:
    """A whole number from 0 to LARGEST; None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= LARGEST else None
