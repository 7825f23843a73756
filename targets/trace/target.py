"""Declares `trace:<teacher>/<capability>`."""

from __future__ import annotations

from nexusbuild.graph import SpecFolder, Target
from specs.model import Spec, Teacher
from targets.opened_teacher import opened_teacher
from targets.slices import section_fields, slice_of


def declare(spec: Spec, folder: SpecFolder, teacher: Teacher, name: str) -> Target:
    """What training for the capability `name` needs of a teacher."""
    opened = opened_teacher(spec, folder, teacher)
    capability = spec.capabilities[name]
    path = f"capabilities.{name}"
    declared = slice_of(
        spec,
        {
            **opened.fields,
            # Only a teacher's own answers are scored.
            "metric": (
                capability.metric if capability.trace.answers == "teacher" else None,
                f"{path}.metric",
            ),
            **section_fields(capability.trace.model_dump(mode="json"), f"{path}.trace"),
        },
    )
    return Target(
        id=f"trace:{teacher.id}/{name}",
        work="targets.trace.work:build",
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "train": f"dataset:{capability.dataset}#train.jsonl",
            "description": f"dataset:{capability.dataset}#dataset.json",
            **_bases(capability.trace.coefficient_rows, f"profile:{teacher.id}/{name}"),
        },
        sources=opened.sources,
        needs=opened.needs,
        expected_seconds=opened.seconds_of["trace"],
    )


def _bases(coefficient_rows: int, profile: str) -> dict[str, str]:
    """The profile, where coefficients in its bases are wanted."""
    return {"profile": profile} if coefficient_rows else {}
