"""Declares `registry`."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.budget.estimates import QUICK_SECONDS, quick_needs
from targets.declaring.slices import listed_capabilities, placed, slice_of


def declare(spec: Spec) -> Target:
    """The list of all teachers that can be learned from, whether what they teach ships or not."""
    served, origins = listed_capabilities(spec, spec.served_capabilities())
    used = {teacher.id for name in served for teacher in spec.teachers_of(name)}
    declared = placed(slice_of(spec, {"capabilities": (served, "capabilities")}), origins)
    return Target(
        id="registry",
        work="targets.registry.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            teacher.id: f"teacher:{teacher.id}" for teacher in spec.teachers if teacher.id in used
        },
        needs=quick_needs(),
        expected_seconds=QUICK_SECONDS,
    )
