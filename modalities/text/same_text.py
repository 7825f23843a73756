"""Whether an answer is its reference, letter by letter."""

from __future__ import annotations

from collections.abc import Sequence

from modalities.metric import Answer, Row, commonest


def same_texts(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where the answer is the reference, but for white space around it."""
    return [
        float(answer["answer"].strip() == row["answer"].strip())
        for row, answer in zip(rows, answers)
    ]


def commonest_text(rows: Sequence[Row]) -> float:
    """The share right of always giving the commonest reference."""
    return commonest([row["answer"].strip() for row in rows])
