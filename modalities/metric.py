"""What a metric is: how one answer is scored, which way is better, what counts as retained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]
"""A row of a data set: `prompt`, `answer` (the reference), perhaps `tests`."""

Answer = Mapping[str, Any]
"""A model's answer to it: `answer` (text), perhaps `log_prob`, `tokens`, `bytes`."""

Floats = NDArray[np.float64]


def weigh_alike(row: Row) -> float:
    """Every item counts the same."""
    return 1.0


def nothing(rows: Sequence[Row]) -> float:
    """The level of an answer that knows nothing, where guessing earns nothing."""
    return 0.0


@dataclass(frozen=True)
class Metric:
    """A score for answers, with its direction.

    score_all: rows and answers to one float each, in `unit`. weigh: what an item counts in the
    aggregate (bytes, where the aggregate is bits per byte of all text). chance: the aggregate of
    anyone who answers without having read the prompt; needs the rows' references only.
    by_likelihood: it is about how likely the reference is, not about what is said.
    """

    name: str
    unit: str
    higher_is_better: bool
    score_all: Callable[[Sequence[Row], Sequence[Answer]], list[float]]
    weigh: Callable[[Row], float] = weigh_alike
    chance: Callable[[Sequence[Row]], float] = nothing
    by_likelihood: bool = False

    def score(self, row: Row, answer: str | Answer) -> float:
        """The score of one answer."""
        return self.score_all([row], [as_answer(answer)])[0]

    def score_rows(self, rows: Sequence[Row], answers: Sequence[str | Answer]) -> list[float]:
        """One score per row. Answers are texts, or rows as `baseline` has them.

        Raises ValueError for rows or answers that this metric cannot score.
        """
        if len(rows) != len(answers):
            raise ValueError(f"{len(rows)} rows, but {len(answers)} answers")
        return self.score_all(rows, [as_answer(answer) for answer in answers])

    def weights(self, rows: Sequence[Row]) -> Floats:
        """(rows,) what each item counts."""
        return np.array([self.weigh(row) for row in rows], dtype=np.float64)

    def aggregate(self, scores: Any, weights: Any = None) -> Any:
        """Weighted mean over the last axis: (..., items) -> (...)."""
        return np.average(np.asarray(scores, dtype=np.float64), axis=-1, weights=weights)

    def retained(self, teacher: Any, student: Any, weights: Any = None) -> float:
        """The fraction of the teacher's quality that the student kept, over paired items."""
        ratio = self.ratio(self.aggregate(teacher, weights), self.aggregate(student, weights))
        return float(ratio)

    def ratio(self, teacher: Any, student: Any) -> Any:
        """`retained` of aggregates, elementwise: 1 is equal, more is better, either direction.

        Two zeros are equal; what is not zero against zero is infinitely better or worse.
        """
        teacher, student = np.asarray(teacher, np.float64), np.asarray(student, np.float64)
        above, below = (student, teacher) if self.higher_is_better else (teacher, student)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = above / below
        return np.where((above == 0) & (below == 0), 1.0, ratio)

    def is_better(self, one: float, other: float) -> bool:
        """Whether one aggregate is strictly better than another."""
        return one > other if self.higher_is_better else one < other

    def meets(self, score: float, threshold: float) -> bool:
        """Whether an aggregate is at least as good as a threshold in its unit."""
        return not self.is_better(threshold, score)


def as_answer(answer: str | Answer) -> Answer:
    """A bare text as an answer row."""
    return {"answer": answer} if isinstance(answer, str) else answer


def commonest(references: Sequence[str]) -> float:
    """The share of the commonest reference: what always giving that one would score."""
    counts: dict[str, int] = {}
    for reference in references:
        counts[reference] = counts.get(reference, 0) + 1
    return max(counts.values()) / len(references)
