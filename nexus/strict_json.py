"""JSON from outside: read as every reader would read it, or refused, before it costs anything.

Refused are a name given twice in one object (readers differ on which of the two counts), numbers
that are none, and more bytes or values than the caller expects.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

MOST_BYTES = 8 << 20
MOST_VALUES = 500_000
_SHOWN = 60


def parse_json(
    content: bytes | bytearray, *, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES
) -> Any:
    """The value in UTF-8 text. Raises ValueError saying what is wrong with it."""
    if len(content) > most_bytes:
        raise ValueError(f"it has {len(content)} bytes, more than {most_bytes}")
    # Every value stands behind one of these, but for a first one and those behind a name.
    if content.count(b",") + content.count(b"[") + content.count(b"{") > most_values:
        raise ValueError(f"it may hold more than {most_values} values")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    except ValueError as error:
        # Python's own limit for whole numbers names a remedy that is not the reader's.
        reason = "a number has too many digits" if "digits" in str(error) else str(error)
        raise ValueError(reason) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {twice[:_SHOWN]!r} stands twice in one object")
    return made


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN]} is not a number")
    return number


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_constant=_no_number
)
