"""What the registry depends on besides the teachers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """capabilities: name -> its `dataset` and the ids of its `teachers`. isolated: those of them
    whose teachers may be no one else's, under no other name.
    """

    capabilities: Mapping[str, Any]
    isolated: tuple[str, ...]

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(settings["capabilities"], tuple(settings.get("isolated", ())))
