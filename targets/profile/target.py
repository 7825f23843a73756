"""Declares `profile:<teacher>/<capability>`."""

from __future__ import annotations

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.opened_teacher import opened_teacher
from targets.declaring.slices import section_fields, slice_of


def declare(spec: Spec, folder: SpecFolder, teacher: Teacher, name: str) -> Target:
    """The NIWT profile of a teacher for the capability `name`."""
    opened = opened_teacher(spec, folder, teacher, name)
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
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "pilot": f"dataset:{capability.dataset}#pilot.jsonl",
            "description": f"dataset:{capability.dataset}#dataset.json",
        },
        sources=opened.sources,
        needs=opened.needs,
        expected_seconds=opened.seconds_of["profile"],
    )
