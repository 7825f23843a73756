"""What the student's backbone depends on besides traces, tokenizer and architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """init: None for freshly drawn weights. steps of `batch` rows at `learning_rate` (Muon).

    kl_weight: share of the divergence from the teachers in the loss.
    """

    steps: int
    batch: int
    learning_rate: float
    kl_weight: float

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(
            int(settings["steps"]),
            int(settings["batch"]),
            float(settings["learning_rate"]),
            float(settings["kl_weight"]),
        )
