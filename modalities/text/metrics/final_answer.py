"""Right where the answer comes to the same number as the reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from modalities.metric import Answer, Metric, Row, commonest

UNIT = "share right"
HIGHER_IS_BETTER = True

MARK = "####"
BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:/\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?")
LONGEST_NUMBER = 60


def final_answers(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where both come to the same number, however it is written.

    The final number stands behind the last `####` or in the last box; else it is the last one.
    A reference without a number is compared as the text behind its mark.
    """
    return [
        float(_same_final(row["answer"], answer["answer"])) for row, answer in zip(rows, answers)
    ]


def commonest_final(rows: Sequence[Row]) -> float:
    """The share right of always giving the commonest final answer."""
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


METRIC = Metric("final_answer", UNIT, HIGHER_IS_BETTER, final_answers, chance=commonest_final)
