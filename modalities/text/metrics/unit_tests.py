"""Code that is scored by running it: right where it passes every test of its row."""

from __future__ import annotations

from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row
from modalities.text.code_tests.candidate_runner import PASSED
from modalities.text.code_tests.running import code_in, run_candidates

UNIT = "share passed"
HIGHER_IS_BETTER = True
NEEDS_TESTS = True


def tests_passed(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """1 where the answer's code passes every test of its row.

    Raises ValueError where a row has no tests.
    """
    for row in rows:
        if not row.get("tests"):
            raise ValueError(
                f"unit_tests: row {row.get('id', '?')} has no `tests`; name the field that holds "
                "them in the data set (`tests: ...`), or choose another metric"
            )
    outcomes = run_candidates(
        [(code_in(answer["answer"]), list(row["tests"])) for row, answer in zip(rows, answers)]
    )
    return [float(outcome == PASSED) for outcome in outcomes]


METRIC = Metric("unit_tests", UNIT, HIGHER_IS_BETTER, tests_passed)
