"""What an adapter depends on besides backbone, traces and architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Training of one adapter.

    steps of `batch` rows at a peak `learning_rate` (Muon), after `warmup_steps`. kl_weight: share
    of the divergence from the teacher in the loss. validate_every: steps between two looks at
    the validation loss. metric: by which `validation` is judged; below `aim_fraction` of the
    teacher's score there the adapter trains on, at most `retries` times.
    activation_anchor, attention_anchor: weights of the anchors in protected subspaces.
    recovery_steps: steps on the worst rows after a look past its threshold; 0 leaves recovery and
    roll-back off.
    """

    metric: str
    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int
    kl_weight: float
    activation_anchor: float
    attention_anchor: float
    validate_every: int
    recovery_steps: int
    retries: int
    aim_fraction: float

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(
            settings["metric"],
            int(settings["steps"]),
            int(settings["batch"]),
            float(settings["learning_rate"]),
            int(settings["warmup_steps"]),
            float(settings["kl_weight"]),
            float(settings["activation_anchor"]),
            float(settings["attention_anchor"]),
            int(settings["validate_every"]),
            int(settings["recovery_steps"]),
            int(settings["retries"]),
            float(settings["aim_fraction"]),
        )
