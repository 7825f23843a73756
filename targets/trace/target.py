"""Declares `trace:<teacher>/<capability>`."""

from __future__ import annotations

from typing import Any

from nexusbuild.plugins import SpecFolder, Target
from specs.capabilities import Trace
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.opened_teacher import opened_teacher
from targets.declaring.references import teacher_is_reference
from targets.declaring.slices import section_fields, slice_of


def declare(spec: Spec, folder: SpecFolder, teacher: Teacher, name: str) -> Target:
    """What training for the capability `name` needs of a teacher."""
    opened = opened_teacher(spec, folder, teacher, name)
    capability = spec.capabilities[name]
    path = f"capabilities.{name}"
    declared = slice_of(
        spec,
        {
            **opened.fields,
            "metric": (_ranking_metric(spec, name), f"{path}.metric"),
            **section_fields(_kept(capability.trace), f"{path}.trace"),
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


def _kept(settings: Trace) -> dict[str, Any]:
    """What a trace depends on: a temperature only where a teacher answers."""
    fields = settings.model_dump(mode="json")
    if settings.answers == "dataset":
        del fields["temperature"]
    return fields


def _ranking_metric(spec: Spec, name: str) -> str | None:
    """By what the better of several teachers' own answers is found.

    None where the data set's answers are learned, or there is no reference to hold one to, or
    the metric is not about what is said.
    """
    capability = spec.capabilities[name]
    if capability.trace.answers == "dataset" or capability.metric == "bits_per_byte":
        return None
    return None if teacher_is_reference(spec, name) else capability.metric


def _bases(coefficient_rows: int, profile: str) -> dict[str, str]:
    """The profile, where coefficients in its bases are wanted."""
    return {"profile": profile} if coefficient_rows else {}
