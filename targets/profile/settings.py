"""What a profile depends on besides the teacher and the pilot rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """How a teacher is opened and how closely it is looked at.

    What a person decides has no default here: `nexus.yaml` and its schema say it.

    load, hub: how and from where the teacher is opened. metric: the capability's metric.
    samples: rows that are mapped. pilot_samples: rows that blocks are removed on.
    explained_variance: share of variance a basis explains; raised_to: tried in this order when
    the metric falls by `max_metric_fall` (absolute) or more.
    key_layer_drop: relative fall of the metric that makes a layer a key layer.
    heldout_samples: rows, none of the above, on which the reconstruction is checked.
    verify_outputs: answers that are kept as text.
    key_layers: most layers that are key. decodes: most layers that are removed under generation.
    prompt_weight: what a prompt token counts in the variance, where one of the answer counts 1.
    massive_ratio: standard deviation over the median channel's at which a channel stands apart.
    sink_ratio: distance from the usual state over the median token's at which a token does.
    batch_tokens: tokens, padding included, that run at once. coefficient_bytes: most bytes of
    coefficients kept per layer; fewer where bases and neurons leave less of `profile_bytes`.
    """

    load: str
    metric: str
    samples: int
    pilot_samples: int
    explained_variance: float
    max_metric_fall: float
    key_layer_drop: float
    hub: Mapping[str, Any] | None = None
    heldout_samples: int = 100
    verify_outputs: int = 50
    raised_to: tuple[float, ...] = (0.98, 0.99, 0.995)
    key_layers: int = 4
    decodes: int = 6
    prompt_weight: float = 0.25
    massive_ratio: float = 30.0
    sink_ratio: float = 20.0
    batch_tokens: int = 4096
    coefficient_bytes: int = 16 << 20
    profile_bytes: int = 100_000_000

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Settings:
        known = {field.name for field in fields(cls)}
        given = {name: settings[name] for name in known & settings.keys()}
        if "raised_to" in given:
            given["raised_to"] = tuple(given["raised_to"])
        return cls(**given)

    def levels(self) -> tuple[float, ...]:
        """Shares of variance to try, in this order."""
        higher = (level for level in self.raised_to if level > self.explained_variance)
        return (self.explained_variance, *higher)
