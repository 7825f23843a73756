"""What a score depends on besides the packed student and the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """batch: rows that are answered at once; changes how fast, not what."""

    batch: int = 64

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(int(settings.get("batch", 64)))
