"""What the release takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.needs import adapter_bytes, packed_bytes, student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The packed backbone, and an adapter for each capability that ships."""
    shipped = len(sizes.spec.included_capabilities())
    return Estimate(
        student_needs(sizes), disk_bytes=packed_bytes(sizes) + shipped * adapter_bytes(sizes)
    )
