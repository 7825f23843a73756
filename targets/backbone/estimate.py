"""What distilling the backbone takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.devices import student_device, training_seconds
from targets.budget.estimate import Estimate, Step
from targets.budget.needs import held_bytes, kept_bytes_per_row, student_needs
from targets.budget.sizes import Sizes


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """All weights are trained, on the rows of all traces."""
    steps, batch = target.settings["steps"], target.settings["batch"]
    traced = [role.split("/")[2] for role in target.inputs if role.startswith("trace/")]
    data_sets = sorted({sizes.spec.capabilities[name].dataset for name in traced})
    tokens = sum(sizes.volumes[name].tokens for name in data_sets) / max(1, len(data_sets))
    kept = kept_bytes_per_row(sizes, tokens)
    held = held_bytes([sizes.volume_for(name) for name in traced])
    parameters, device = sizes.student.parameters, student_device(sizes.spec.hardware)
    return Estimate(
        student_needs(sizes, kept=int(batch * kept), held=held, copies=4),
        training_seconds(parameters, steps, batch, tokens, device),
        disk_bytes=4.0 * parameters,
        step=Step(batch, kept, "student.backbone.batch"),
    )
