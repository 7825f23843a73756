"""Metrics, samplers and model families by name: each is one module of a folder, loaded alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modalities.metric import Metric
    from nexusbuild.graph import Job


def load_metric(job: Job, name: str) -> Metric:
    """The metric of this name."""
    found: Metric = load_named(job, "modalities.text.metrics", name).METRIC
    return found


def load_named(job: Job, package: str, name: str) -> Any:
    """The module `name` of a package such as `modalities.text.metrics`, or of another package's
    folder with the same last name: the one that the target's `code` names.

    Raises ValueError where `code` names neither.
    """
    ending = f".{package.rpartition('.')[2]}.{name}"
    named = (module for module in job.code or () if f".{module}".endswith(ending))
    return job.load(next(named, f"{package}.{name}"))
