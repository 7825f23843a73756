"""Answers that are vectors: embeddings, coordinates, any list of numbers of one length."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from modalities.metric import Answer, Floats, Metric, Row

UNIT = "cosine"
HIGHER_IS_BETTER = True


def cosines(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """Cosine of the angle between answer and reference, both JSON lists of numbers; 0 where they
    point apart, and where the answer is no vector of the reference's length.

    Raises ValueError where a reference itself is none, or has no direction.
    """
    return [
        _cosine(_reference(row), _vector(answer["answer"])) for row, answer in zip(rows, answers)
    ]


def mean_direction(rows: Sequence[Row]) -> float:
    """The mean cosine of the one vector that is nearest to all references."""
    units = [_reference(row) for row in rows]
    width = max(map(len, units))
    alike = np.stack([np.pad(unit, (0, width - len(unit))) for unit in units])  # (rows, width)
    return float(np.linalg.norm(alike.mean(axis=0)))


def _cosine(reference: Floats, answer: Floats | None) -> float:
    if answer is None or len(answer) != len(reference):
        return 0.0
    return min(1.0, max(0.0, float(reference @ answer)))


def _reference(row: Row) -> Floats:
    vector = _vector(row["answer"])
    if vector is None:
        raise ValueError(
            f"cosine: the reference of row {row.get('id', '?')} is no list of numbers with a "
            f"direction: {row['answer'][:80]!r}; choose another metric, or mend the data set"
        )
    return vector


def _vector(text: str) -> Floats | None:
    """Of length 1; None where the text is no such list, or has no direction."""
    try:
        vector = np.asarray(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        return None
    largest = np.abs(vector).max()  # divided by first: squares of large numbers are infinite
    if largest == 0:
        return None
    scaled = vector / largest
    return np.asarray(scaled / np.linalg.norm(scaled))


METRIC = Metric("cosine", UNIT, HIGHER_IS_BETTER, cosines, chance=mean_direction)
