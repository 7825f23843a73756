"""What a trace depends on besides teacher, data and profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """top_k: log-probabilities kept per answer token.

    answers: `dataset` traces the data set's answers, `teacher` the teacher's own.
    temperature: of the teacher's own answers; 0 takes the likeliest token.
    metric: by which the teacher's own answers are ranked, None where they need no rank.
    coefficient_rows: how many rows also keep the coefficients of their residual stream and of
    their important heads, for anchors.
    """

    top_k: int
    answers: str
    temperature: float
    metric: str | None
    coefficient_rows: int
    batch: int

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(
            int(settings["top_k"]),
            settings["answers"],
            float(settings.get("temperature", 0.0)),
            settings["metric"],
            int(settings.get("coefficient_rows", 0)),
            int(settings.get("batch", 32)),
        )
