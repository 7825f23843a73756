"""What the record of a teacher depends on besides its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """licence: SPDX name as the spec states it. load: precision it is opened in.

    hub: `{"repo", "revision"}` where it comes from a hub.
    """

    licence: str
    load: str
    hub: Mapping[str, str] | None

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(settings["licence"], settings["load"], settings.get("hub"))
