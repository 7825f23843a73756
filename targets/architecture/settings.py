"""What the student's shape depends on besides the profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BackboneSettings:
    """Family and sizes of the backbone; None where they follow from the profiles.

    quantize: how its weights will be packed; nf4 works on multiples of 64 only.
    """

    family: str
    hidden: int | None
    layers: int | None
    heads: int | None
    intermediate: int | None
    quantize: str

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> BackboneSettings:
        def size(name: str) -> int | None:
            value = settings.get(name, "auto")
            return None if value in ("auto", None) else int(value)

        return cls(
            family=str(settings.get("family") or "llama"),
            hidden=size("hidden"),
            layers=size("layers"),
            heads=size("heads"),
            intermediate=size("intermediate"),
            quantize=str(settings.get("quantize") or "none"),
        )


@dataclass(frozen=True)
class AdapterSettings:
    """rank: cap of the rank of every layer of one adapter."""

    rank: int

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> AdapterSettings:
        return cls(rank=int(settings["rank"]))
