"""Right or wrong: exact text, the final number, the same JSON value."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from modalities.metric import Answer, Row, commonest

MARK = "####"
BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:/\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?")
LONGEST_NUMBER = 60


def exact_matches(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where the answer is the reference, but for white space around it."""
    return [
        float(answer["answer"].strip() == row["answer"].strip())
        for row, answer in zip(rows, answers)
    ]


def exact_chance(rows: Sequence[Row]) -> float:
    return commonest([row["answer"].strip() for row in rows])


def final_answers(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where both come to the same number, however it is written.

    The final number stands behind the last `####` or in the last box; else it is the last one.
    A reference without a number is compared as the text behind its mark.
    """
    return [
        float(_same_final(row["answer"], answer["answer"])) for row, answer in zip(rows, answers)
    ]


def final_chance(rows: Sequence[Row]) -> float:
    return commonest([_final_key(row["answer"]) for row in rows])


def final_number(text: str) -> Fraction | None:
    """The number that a worked answer comes to, exactly; None where it comes to none."""
    numbers = NUMBER.findall(_final_part(text))
    if not numbers or len(numbers[-1]) > LONGEST_NUMBER:
        return None
    try:
        return Fraction(numbers[-1].replace(",", "").rstrip("."))
    except (ValueError, ZeroDivisionError):
        return None


def _final_part(text: str) -> str:
    if MARK in text:
        return text.rpartition(MARK)[2]
    boxes = BOXED.findall(text)
    return boxes[-1] if boxes else text


def _final_key(text: str) -> str:
    number = final_number(text)
    return " ".join(_final_part(text).casefold().split()) if number is None else str(number)


def _same_final(reference: str, answer: str) -> bool:
    return _final_key(reference) == _final_key(answer)


def json_equals(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where the answer is JSON of the reference's value: key order and white space are free.

    Raises ValueError where a reference itself is no JSON.
    """
    return [
        float(_parsed(answer["answer"]) == _reference(row)) for row, answer in zip(rows, answers)
    ]


def json_chance(rows: Sequence[Row]) -> float:
    return commonest([repr(_reference(row)) for row in rows])


def _reference(row: Row) -> Any:
    try:
        return _typed(json.loads(row["answer"]))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"json_equal: the reference of row {row.get('id', '?')} is no JSON ({error.msg}): "
            f"{row['answer'][:80]!r}; choose another metric, or mend the data set"
        ) from error


def _parsed(text: str) -> Any:
    try:
        return _typed(json.loads(text))
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError too
        return ("no JSON",)


def _typed(value: Any) -> Any:
    """The value in a form where true and 1 differ, 1 and 1.0 do not, and keys have no order."""
    if isinstance(value, dict):
        return ("object", sorted((key, _typed(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", [_typed(item) for item in value])
    if isinstance(value, bool) or value is None:
        return ("constant", repr(value))
    if isinstance(value, str):
        return ("text", value)
    return ("number", value)
