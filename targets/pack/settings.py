"""What a packed backbone depends on besides the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMS = ("none", "int8", "nf4")


@dataclass(frozen=True)
class Settings:
    """quantize: how the linear layers' weights are stored, one of `none`, `int8`, `nf4`."""

    quantize: str

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        quantize = str(settings.get("quantize", "none"))
        if quantize not in FORMS:
            raise ValueError(f"quantize: {quantize!r} is not one of {', '.join(FORMS)}")
        return cls(quantize)
