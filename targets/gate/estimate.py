"""What a verdict takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.values import ROUTER
from targets.budget.estimate import Estimate, quick_needs
from targets.budget.needs import student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The router is asked again; on a capability, answers are compared."""
    return Estimate(student_needs(sizes) if target.name == ROUTER else quick_needs())
