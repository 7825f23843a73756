"""What targets take: each kind is asked, once all targets are declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.sizes import Sizes
from targets.declaring.kind import Kind


def estimates(
    targets: Mapping[str, Target], kinds: Mapping[str, Kind], sizes: Sizes
) -> dict[str, Estimate]:
    """What each target takes, as its kind says."""
    return {name: kinds[each.kind].estimate(each, sizes) for name, each in targets.items()}


def with_estimates(
    targets: Mapping[str, Target], taken: Mapping[str, Estimate]
) -> dict[str, Target]:
    """The targets, each with what it takes."""
    return {
        name: replace(
            target,
            needs=replace(taken[name].needs, disk_bytes=int(taken[name].disk_bytes)),
            expected_seconds=taken[name].seconds,
        )
        for name, target in targets.items()
    }
