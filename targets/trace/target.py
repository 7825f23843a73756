"""Declares `trace:<teacher>/<capability>`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nexusbuild.plugins import Target
from specs.capabilities import Trace
from specs.model import Spec
from specs.names import metric_traits, metrics
from specs.teachers import Teacher
from targets.declaring.answers import teacher_is_reference
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import payload_inputs, reading_code
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.teachers import opened_teacher
from targets.trace.estimate import estimate


def declare(spec: Spec, teacher: Teacher, name: str) -> Target:
    """What training for the capability `name` needs of a teacher."""
    opened = opened_teacher(teacher)
    capability = spec.capabilities[name]
    path = f"capabilities.{name}"
    metric = _ranking_metric(spec, name)
    declared = slice_of(
        spec,
        {
            **opened.fields,
            "metric": (metric, f"{path}.metric"),
            **section_fields(_kept(capability.trace), f"{path}.trace"),
        },
    )
    return Target(
        id=f"trace:{teacher.id}/{name}",
        work="targets.trace.work:build",
        code={
            **reading_code(spec, name),
            **({"metric": metrics().module(metric)} if metric is not None else {}),
        },
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "train": f"dataset:{capability.dataset}#train.jsonl",
            "description": f"dataset:{capability.dataset}#dataset.json",
            **payload_inputs(spec, name),
            **_bases(capability.trace.coefficient_rows, f"profile:{teacher.id}/{name}"),
        },
        sources=opened.sources,
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
    if capability.trace.answers == "dataset" or metric_traits(capability.metric).by_likelihood:
        return None
    return None if teacher_is_reference(spec, name) else capability.metric


def _bases(coefficient_rows: int, profile: str) -> dict[str, str]:
    """The profile, where coefficients in its bases are wanted."""
    return {"profile": profile} if coefficient_rows else {}


def declare_all(context: Context) -> Iterator[Target]:
    """A trace of every teacher for each of its capabilities."""
    for teacher, name in context.taught:
        yield declare(context.spec, teacher, name)


KIND = Kind(
    name="trace",
    per=Per.TEACHER_AND_CAPABILITY,
    declare=declare_all,
    estimate=estimate,
    opens_teacher=True,
)
