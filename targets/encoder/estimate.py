"""What making an encoder takes: about what training an adapter does."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.needs import adapter_bytes, student_needs
from targets.budget.sizes import Sizes

SECONDS = 60.0


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """A room knows best; until history does, a minute."""
    return Estimate(student_needs(sizes), SECONDS, disk_bytes=adapter_bytes(sizes))
