"""What a teacher's baseline depends on besides the teacher and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """load: precision of the teacher. batch: rows decoded side by side."""

    load: str
    batch: int

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(settings["load"], int(settings.get("batch", 64)))
