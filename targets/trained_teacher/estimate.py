"""What a teacher takes that the build trains."""

from __future__ import annotations

from nexusbuild.plugins import Target, input_target
from targets.budget.devices import student_device, training_seconds
from targets.budget.estimate import Estimate
from targets.budget.needs import model_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """By its own size and steps."""
    hardware, parameters = sizes.spec.hardware, sizes.teacher(target.name)
    volume = sizes.volumes[input_target(target.inputs["train"]).partition(":")[2]]
    steps, batch = target.settings["steps"], target.settings["batch"]
    device = student_device(hardware)
    return Estimate(
        model_needs(hardware, parameters, copies=4),
        training_seconds(parameters, steps, batch, volume.tokens, device),
        disk_bytes=4.0 * parameters,
    )
