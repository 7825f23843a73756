"""What training an adapter takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.devices import student_device, training_seconds
from targets.budget.estimate import Estimate, Step
from targets.budget.needs import adapter_bytes, held_bytes, kept_bytes_per_row, student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """The backbone does not change, but all of it is passed through."""
    volume = sizes.volume_for(target.name)
    steps, batch = target.settings["steps"], target.settings["batch"]
    traces = [role for role in target.inputs if role.startswith("trace/")]
    kept = kept_bytes_per_row(sizes, volume.tokens)
    held = held_bytes([volume for _ in traces])
    parameters, device = sizes.student.parameters, student_device(sizes.spec.hardware)
    return Estimate(
        student_needs(sizes, kept=int(batch * kept), held=held, copies=2),
        training_seconds(parameters, steps, batch, volume.tokens, device),
        disk_bytes=adapter_bytes(sizes),
        step=Step(batch, kept, f"capabilities.{target.name}.training.batch"),
    )
