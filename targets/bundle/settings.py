"""What a bundle depends on besides its components and their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CapabilitySource:
    """Which data set a capability is measured on, which teachers it was learned from, and which
    media it reads besides text.
    """

    dataset: str
    teachers: tuple[str, ...]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """name: of the bundle's folder. include: the capabilities that ship; isolated: those of them
    that answer only when asked for. contracts: name -> its fields, the router's under `router`.
    """

    name: str
    include: tuple[str, ...]
    isolated: frozenset[str]
    quantize: str
    zip: bool
    capabilities: Mapping[str, CapabilitySource]
    contracts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        return cls(
            name=settings["name"],
            include=tuple(sorted(settings["include"])),
            isolated=frozenset(settings["isolated"]),
            quantize=settings["quantize"],
            zip=bool(settings["zip"]),
            capabilities={
                name: CapabilitySource(
                    about["dataset"], tuple(about["teachers"]), tuple(about.get("reads", ()))
                )
                for name, about in settings["capabilities"].items()
            },
            contracts=settings["contracts"],
        )

    @property
    def media(self) -> tuple[str, ...]:
        """What the capabilities that ship read besides text, sorted."""
        return tuple(sorted({m for name in self.include for m in self.capabilities[name].reads}))
