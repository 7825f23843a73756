"""Declares `baseline:<teacher>/<capability>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.baseline.estimate import estimate
from targets.declaring.answers import (
    harness_code,
    harness_fields,
    harness_sources,
    teacher_is_reference,
)
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import payload_inputs, reading_code
from targets.declaring.slices import slice_of
from targets.declaring.teachers import opened_teacher


def declare(spec: Spec, teacher: Teacher, capability: str) -> Target:
    """A teacher's answers; which metric scores them is decided at the gate."""
    opened = opened_teacher(teacher)
    fields = {**opened.fields, **harness_fields(spec, capability)}
    if teacher_is_reference(spec, capability):
        temperature = spec.capabilities[capability].trace.temperature
        fields["temperature"] = (temperature, f"capabilities.{capability}.trace.temperature")
    declared = slice_of(spec, fields)
    dataset = f"dataset:{spec.capabilities[capability].dataset}"
    return Target(
        id=f"baseline:{teacher.id}/{capability}",
        work="targets.baseline.work:build",
        code={**reading_code(spec, capability), **harness_code(spec, capability)},
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "validation": f"{dataset}#validation.jsonl",
            "eval": f"{dataset}#eval.jsonl",
            "description": f"{dataset}#dataset.json",
            **payload_inputs(spec, capability),
        },
        sources={**opened.sources, **harness_sources(spec, capability)},
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The answers of every teacher for each of its capabilities."""
    for teacher, name in context.taught:
        yield declare(context.spec, teacher, name)


KIND = Kind(
    name="baseline",
    per=Per.TEACHER_AND_CAPABILITY,
    declare=declare_all,
    estimate=estimate,
    opens_teacher=True,
)
