"""Declares `registry`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.slices import Field, listed_capabilities, slice_of, with_origins


def declare(spec: Spec) -> Target:
    """The list of all teachers that can be learned from, whether what they teach ships or not."""
    served, origins = listed_capabilities(spec, spec.served_capabilities())
    used = {teacher.id for name in served for teacher in spec.teachers_of(name)}
    fields: dict[str, Field] = {"capabilities": (served, "capabilities")}
    isolated = [name for name in served if spec.capabilities[name].isolated]
    if isolated:  # where there is none, no key knows of it
        fields["isolated"] = (isolated, "capabilities")
    declared = with_origins(slice_of(spec, fields), origins)
    return Target(
        id="registry",
        work="targets.registry.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            teacher.id: f"teacher:{teacher.id}" for teacher in spec.teachers if teacher.id in used
        },
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The one of a build."""
    yield declare(context.spec)


KIND = Kind(
    name="registry",
    per=Per.BUILD,
    declare=declare_all,
    lists_only=True,
)
