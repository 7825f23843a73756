"""Scores that lm-evaluation-harness gave: read from the answer rows, with its own directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modalities.metric import Answer, Metric, Row

PREFIX = "lm_eval/"


@dataclass(frozen=True)
class HarnessMetric:
    """`lm_eval/TASK` or `lm_eval/TASK/METRIC`; METRIC as `acc_norm` or, with a filter,
    `exact_match,flexible-extract`.
    """

    task: str
    metric: str | None

    @classmethod
    def named(cls, name: str) -> HarnessMetric | None:
        """None where the name is not one of these."""
        if not name.startswith(PREFIX):
            return None
        task, _, metric = name.removeprefix(PREFIX).partition("/")
        return cls(task, metric or None)

    def metric_of(self, about: Mapping[str, Any]) -> Metric:
        """The metric, given what `harness.json` says of the tasks. Raises ValueError."""
        task = about["tasks"].get(self.task)
        if task is None:
            raise ValueError(f"the harness task {self.task} was not answered; rebuild `score`")
        key = self._key(task)
        name = f"{PREFIX}{self.task}/{key}"
        return Metric(
            name,
            key.partition(",")[0],
            task["higher_is_better"][key],
            lambda rows, answers: [_score(answer, key) for answer in answers],
            chance=_guessing if task["choose"] else _nothing_known,
        )

    def _key(self, task: Mapping[str, Any]) -> str:
        known: list[str] = sorted(task["higher_is_better"])
        if self.metric is None and task["default"] is not None:
            return str(task["default"])
        default_filter = str(task["default"]).partition(",")[2]
        for key in (self.metric, f"{self.metric},{default_filter}"):
            if key in known:
                return str(key)
        offered = ", ".join(known) or "none; take bits_per_byte of the capability's own rows"
        raise ValueError(
            f"{self.task} has no metric {self.metric or ''} that is a mean over its documents "
            f"(it has: {offered})"
        )


def _score(answer: Answer, key: str) -> float:
    return float(answer["scores"][key])


def _guessing(rows: Sequence[Row]) -> float:
    """The share right of whoever draws a choice."""
    return float(np.mean([1 / row["choices"] for row in rows]))


def _nothing_known(rows: Sequence[Row]) -> float:
    return 0.0
