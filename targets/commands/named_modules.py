"""Metrics and samplers by name, for what is not the work of a target."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from specs.names import metrics, samplers

if TYPE_CHECKING:
    from modalities.metric import Metric
    from samplers.parts.sampling import Draw


def named_metric(name: str) -> Metric:
    """Raises ValueError naming the nearest where there is none."""
    found: Metric = import_module(metrics().module(name)).METRIC
    return found


def named_sampler(name: str) -> Draw:
    """Raises ValueError naming the nearest where there is none."""
    found: Draw = import_module(samplers().module(name)).draw
    return found
