"""What a list of digits is."""

from __future__ import annotations

from typing import Any, TypeGuard

LONGEST = 8


def are_digits(value: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of one to eight whole numbers from 0 to 9."""
    return (
        isinstance(value, list)
        and 0 < len(value) <= LONGEST
        and all(type(item) is int and 0 <= item <= 9 for item in value)
    )
