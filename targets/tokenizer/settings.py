"""What the student's tokenizer depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """kind: `bpe`, `bytes` or `teacher`. vocab: entries in all, special tokens and bytes included;
    None where a teacher's is taken.
    """

    kind: str
    vocab: int | None

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        vocab = settings.get("vocab")
        return cls(kind=settings["kind"], vocab=None if vocab is None else int(vocab))
