"""What a data set takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate, quick_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """Its rows as text, four bytes and more to a token."""
    volume = sizes.volumes[target.name]
    return Estimate(quick_needs(), disk_bytes=volume.rows * (200 + 5 * volume.tokens))
