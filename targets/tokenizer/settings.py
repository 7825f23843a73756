"""What the student's tokenizer depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """kind: `bpe` or `bytes`. vocab: entries in all, special tokens and bytes included."""

    kind: str
    vocab: int

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(kind=settings["kind"], vocab=int(settings["vocab"]))
