"""Declares `baseline:<teacher>/<capability>`."""

from __future__ import annotations

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.harness_tasks import harness_fields, harness_sources
from targets.declaring.opened_teacher import opened_teacher
from targets.declaring.references import teacher_is_reference
from targets.declaring.slices import slice_of


def declare(spec: Spec, folder: SpecFolder, teacher: Teacher, capability: str) -> Target:
    """A teacher's answers; which metric scores them is decided at the gate."""
    opened = opened_teacher(spec, folder, teacher, capability)
    fields = {**opened.fields, **harness_fields(spec, capability)}
    if teacher_is_reference(spec, capability):
        temperature = spec.capabilities[capability].trace.temperature
        fields["temperature"] = (temperature, f"capabilities.{capability}.trace.temperature")
    declared = slice_of(spec, fields)
    dataset = f"dataset:{spec.capabilities[capability].dataset}"
    return Target(
        id=f"baseline:{teacher.id}/{capability}",
        work="targets.baseline.work:build",
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs={
            **opened.inputs,
            "validation": f"{dataset}#validation.jsonl",
            "eval": f"{dataset}#eval.jsonl",
            "description": f"{dataset}#dataset.json",
        },
        sources={**opened.sources, **harness_sources(spec, capability)},
        needs=opened.needs,
        expected_seconds=opened.seconds_of["baseline"],
    )
