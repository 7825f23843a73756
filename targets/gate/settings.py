"""What a contract says. Thresholds stand in the spec and nowhere else; they have no defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """One contract: what it sets must all hold, and it sets `retain_fraction` or `at_least`.

    retain_fraction: the fraction of the best teacher's quality that the student must retain.
    at_least: the score, in the metric's unit, that it must reach whatever a teacher reached; at
    most that, where lower is better. teacher_at_least: the same for the best teacher.
    confidence: None lets the point estimate decide; else the one-sided bound at this level.
    """

    metric: str
    retain_fraction: float | None = None
    at_least: float | None = None
    confidence: float | None = None
    teacher_at_least: float | None = None

    @staticmethod
    def from_json(settings: Mapping[str, Any]) -> Settings:
        """The settings in a target's JSON; other keys are ignored. Raises ValueError."""
        found = Settings(
            settings["metric"],
            settings.get("retain_fraction"),
            settings.get("at_least"),
            settings.get("confidence"),
            settings.get("teacher_at_least"),
        )
        if found.retain_fraction is None and found.at_least is None:
            raise ValueError("a contract says `retain_fraction` or `at_least`, or both")
        return found
