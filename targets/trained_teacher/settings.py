"""What a teacher that the build trains itself depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Shape, training and tokenizer of a sample teacher.

    family: `llama`, `gpt2`, `qwen2` or `qwen3`. steps of `batch` rows at `learning_rate` (Muon).
    """

    family: str
    hidden: int
    layers: int
    heads: int
    intermediate: int
    steps: int
    batch: int
    learning_rate: float
    tokenizer_kind: str
    tokenizer_vocab: int

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        hidden = int(settings["hidden"])
        return cls(
            family=settings["family"],
            hidden=hidden,
            layers=int(settings["layers"]),
            heads=int(settings["heads"]),
            intermediate=int(settings.get("intermediate") or 3 * hidden),
            steps=int(settings["steps"]),
            batch=int(settings["batch"]),
            learning_rate=float(settings["learning_rate"]),
            tokenizer_kind=settings["tokenizer"]["kind"],
            tokenizer_vocab=int(settings["tokenizer"]["vocab"]),
        )
