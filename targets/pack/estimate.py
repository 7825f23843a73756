"""What packing takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.values import ROUTER
from targets.budget.estimate import Estimate, quick_needs
from targets.budget.needs import adapter_bytes, packed_bytes, student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The backbone is quantised; an adapter keeps its size, and a router is not larger."""
    needs = quick_needs() if target.name == ROUTER else student_needs(sizes)
    packs_backbone = target.name == "backbone"
    return Estimate(
        needs, disk_bytes=packed_bytes(sizes) if packs_backbone else adapter_bytes(sizes)
    )
