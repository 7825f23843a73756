"""What the router depends on besides prompts, backbone and tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """inverse_penalty: scikit-learn's C of the logistic head.

    The router abstains beyond `abstain_margin` times the distance within which the share
    `abstain_quantile` of the validation prompts lies; and where a prompt's tokens surprise every
    capability `surprise_margin` times as much, above the average, as they do at that quantile.
    """

    inverse_penalty: float = 10.0
    abstain_quantile: float = 0.99
    abstain_margin: float = 1.5
    surprise_margin: float = 2.0

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        known = ("inverse_penalty", "abstain_quantile", "abstain_margin", "surprise_margin")
        return cls(**{name: float(settings[name]) for name in known if name in settings})
