"""What a teacher's baseline depends on besides the teacher and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """load: precision of the teacher. batch: rows decoded side by side.

    temperature: of the teacher's own answers, which are the references then; None where the data
    set has references.
    """

    load: str
    batch: int
    temperature: float | None

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        temperature = settings.get("temperature")
        return cls(
            settings["load"],
            int(settings.get("batch", 64)),
            None if temperature is None else float(temperature),
        )
