"""Declares `adapter:<capability>`."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.budget.estimates import adapter_needs, adapter_seconds
from targets.declaring.conduct import training_conduct
from targets.declaring.references import reference
from targets.declaring.slices import Field, slice_of
from targets.declaring.traced import tokenizer_inputs

# Decided by the architecture, which caps what the profiles ask for.
NOT_OF_TRAINING = "rank"


def declare(spec: Spec, name: str) -> Target:
    """Trained for the capability `name` on the traces of all its teachers."""
    capability = spec.capabilities[name]
    teachers = [teacher.id for teacher in spec.teachers_of(name)]
    dataset = f"dataset:{capability.dataset}"
    declared = slice_of(
        spec,
        {
            "metric": (capability.metric, f"capabilities.{name}.metric"),
            **training_fields(spec, name),
        },
    )
    return Target(
        id=f"adapter:{name}",
        work="targets.adapter.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "backbone": "pack:backbone",
            "tokenizer": "tokenizer",
            "architecture": f"architecture:{name}#adapter.json",
            "validation": reference(spec, name, "validation"),
            "description": f"{dataset}#dataset.json",
            **{f"trace/{teacher}": f"trace:{teacher}/{name}" for teacher in teachers},
            **tokenizer_inputs(teachers),
            **{
                f"baseline/{teacher}": f"baseline:{teacher}/{name}#validation.jsonl"
                for teacher in teachers
            },
        },
        needs=adapter_needs(spec, name),
        conduct=training_conduct(spec),
        expected_seconds=adapter_seconds(spec, name),
    )


def training_fields(spec: Spec, name: str) -> dict[str, Field]:
    """Training settings of a capability, each from where the spec says it."""
    overridden = spec.capabilities[name].training.model_fields_set
    return {
        key: (
            value,
            f"capabilities.{name}.training.{key}"
            if key in overridden
            else f"student.training.{key}",
        )
        for key, value in spec.training_of(name).model_dump(mode="json").items()
        if key != NOT_OF_TRAINING
    }
