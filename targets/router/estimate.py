"""What training the router takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.needs import student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The backbone reads the prompts."""
    return Estimate(student_needs(sizes))
