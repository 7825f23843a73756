"""Metrics by name. Each knows its unit, its direction, and what a student retained of a teacher."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row, as_answer
from modalities.text.metrics import likelihood, matching, overlap, unit_tests, vectors

__all__ = ["METRICS", "Metric", "get_metric", "score_rows"]

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "exact_match", "share right", True, matching.exact_matches,
            chance=matching.exact_chance,
        ),
        Metric(
            "accuracy", "share right", True, matching.exact_matches,
            chance=matching.exact_chance,
        ),
        Metric(
            "final_answer", "share right", True, matching.final_answers,
            chance=matching.final_chance,
        ),
        Metric(
            "json_equal", "share right", True, matching.json_equals,
            chance=matching.json_chance,
        ),
        Metric(
            "cosine", "cosine", True, vectors.cosines,
            chance=vectors.mean_direction,
        ),
        Metric("unit_tests", "share passed", True, unit_tests.tests_passed),
        Metric("token_f1", "F1", True, overlap.token_f1s),
        Metric("rouge_l", "F1", True, overlap.rouge_ls),
        Metric(
            "word_error_rate", "errors per word", False, overlap.word_error_rates,
            weigh=overlap.reference_words, chance=overlap.silence,
        ),
        Metric(
            "bits_per_byte", "bits per byte", False, likelihood.bits_per_byte,
            weigh=likelihood.reference_bytes, chance=likelihood.uniform_bytes,
        ),
    )
}  # fmt: skip


def get_metric(name: str) -> Metric:
    """The metric of this name. Raises ValueError naming the nearest where there is none."""
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0)
        raise ValueError(
            f"no metric is called {name!r}; the nearest is {near[0]!r} "
            f"(there are {', '.join(sorted(METRICS))})"
        )
    return METRICS[name]


def score_rows(
    metric: str | Metric, rows: Sequence[Row], answers: Sequence[str | Answer]
) -> list[float]:
    """One score per row, in the metric's unit. Answers are texts, or rows as `baseline` has them.

    Raises ValueError for an unknown metric, and for rows or answers that it cannot score.
    """
    if len(rows) != len(answers):
        raise ValueError(f"{len(rows)} rows, but {len(answers)} answers")
    found = get_metric(metric) if isinstance(metric, str) else metric
    return found.score_all(rows, [as_answer(answer) for answer in answers])
