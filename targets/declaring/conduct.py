"""How long training is to treat the machine: no result depends on it."""

from __future__ import annotations

from typing import Any

from specs.model import Spec


def training_conduct(spec: Spec) -> dict[str, Any]:
    """What the spec's `hardware` says of heat and pauses, as `training.watch` reads it."""
    hardware = spec.hardware.model_dump(mode="json", include={"max_temperature_c", "cooldown"})
    return {name: value for name, value in hardware.items() if value is not None}
