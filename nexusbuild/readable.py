"""Quantities, paths and texts from outside as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

# Control characters but for tab and line ends (ECMA-48 escapes begin with them), delete, line
# separators, what turns the direction of writing (Unicode annex 9), halves of surrogate pairs.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    "|\r(?!\n)"
)


def escape_controls(text: str) -> str:
    """The text with every character that a terminal obeys as `\\u001b`; tabs and line ends stay.

    JSON text stays JSON, and says the same. Every result can be encoded in UTF-8.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def pluralize(number: int, one: str) -> str:
    """`1 result`, `2 results`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def readable_size(count: float) -> str:
    """`812 B`, `3.0 GB`: bytes, in the powers of 1,024 that the spec's sizes are read with."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def readable_age(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h`, `5 days`, rounded down."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400)} days"


def readable_seconds(seconds: float) -> str:
    """`0.42 s`, `41 s`, `3 min 20 s`, `2 h 05 min`: two figures that matter, no more."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def readable_estimate(seconds: float) -> str:
    """An estimate, rounded as far as it deserves: `12 s`, `3 min 20 s`, `25 min`, `2 h 10 min`."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    step = 10 if seconds < 600 else 60 if seconds < 3600 else 600
    whole = round(seconds / step) * step
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def readable_figures(figures: Mapping[str, float | str]) -> str:
    """`loss 0.312, tokens/s 51200`."""
    return ", ".join(f"{name} {_readable(value)}" for name, value in figures.items())


def _readable(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return format(value, ".0f" if 1000 <= abs(value) < 1e12 else ".4g")


def display_path(path: str | Path, folder: Path | None = None) -> str:
    """An absolute path as seen from `folder`, or from where a person is, if it lies within."""
    try:
        return str(Path(path).relative_to(folder or Path.cwd()))
    except ValueError:
        return str(path)
