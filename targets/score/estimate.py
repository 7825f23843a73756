"""What scoring the packed student takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.devices import generation_seconds, student_device
from targets.budget.estimate import Estimate
from targets.budget.needs import student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The held-out prompts are answered."""
    volume = sizes.volume_for(target.name)
    device = student_device(sizes.spec.hardware)
    answering = generation_seconds(
        sizes.student.parameters, "fp32", volume.eval, volume.tokens, volume.answer, device
    )
    return Estimate(
        student_needs(sizes),
        2 + answering,
        disk_bytes=volume.eval * (200 + 12 * volume.answer),
    )
