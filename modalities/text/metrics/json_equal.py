"""Right where the answer is JSON of the same value as the reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modalities.metric import Answer, Metric, Row, commonest

UNIT = "share right"
HIGHER_IS_BETTER = True


def json_equals(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where the answer is JSON of the reference's value: key order and white space are free.

    Raises ValueError where a reference itself is no JSON.
    """
    return [
        float(_parse_json(answer["answer"]) == _reference(row))
        for row, answer in zip(rows, answers)
    ]


def commonest_value(rows: Sequence[Row]) -> float:
    """The share right of always giving the commonest value."""
    return commonest([repr(_reference(row)) for row in rows])


def _reference(row: Row) -> Any:
    try:
        return _comparable_value(json.loads(row["answer"]))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"json_equal: the reference of row {row.get('id', '?')} is no JSON ({error.msg}): "
            f"{row['answer'][:80]!r}; choose another metric, or mend the data set"
        ) from error


def _parse_json(text: str) -> Any:
    try:
        return _comparable_value(json.loads(text))
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError too
        return ("no JSON",)


def _comparable_value(value: Any) -> Any:
    """The value in a form where true and 1 differ, 1 and 1.0 do not, and keys have no order."""
    if isinstance(value, dict):
        return ("object", sorted((key, _comparable_value(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", [_comparable_value(item) for item in value])
    if isinstance(value, bool) or value is None:
        return ("constant", repr(value))
    if isinstance(value, str):
        return ("text", value)
    return ("number", value)


METRIC = Metric("json_equal", UNIT, HIGHER_IS_BETTER, json_equals, chance=commonest_value)
