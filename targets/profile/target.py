"""Declares `profile:<teacher>/<capability>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.names import metrics
from specs.teachers import Teacher
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import payload_inputs, reading_code
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.teachers import opened_teacher
from targets.profile.estimate import estimate


def declare(spec: Spec, teacher: Teacher, name: str) -> Target:
    """The NIWT profile of a teacher for the capability `name`."""
    opened = opened_teacher(teacher)
    capability = spec.capabilities[name]
    path = f"capabilities.{name}"
    declared = slice_of(
        spec,
        {
            **opened.fields,
            "metric": (capability.metric, f"{path}.metric"),
            **section_fields(capability.profile.model_dump(mode="json"), f"{path}.profile"),
        },
    )
    return Target(
        id=f"profile:{teacher.id}/{name}",
        work="targets.profile.work:build",
        code={
            **reading_code(spec, name),
            "metric": metrics().module(capability.metric),
        },
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "pilot": f"dataset:{capability.dataset}#pilot.jsonl",
            "description": f"dataset:{capability.dataset}#dataset.json",
            **payload_inputs(spec, name),
        },
        sources=opened.sources,
    )


def declare_all(context: Context) -> Iterator[Target]:
    """A profile of every teacher for each of its capabilities."""
    for teacher, name in context.taught:
        yield declare(context.spec, teacher, name)


KIND = Kind(
    name="profile",
    per=Per.TEACHER_AND_CAPABILITY,
    declare=declare_all,
    estimate=estimate,
    opens_teacher=True,
)
