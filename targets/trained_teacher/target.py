"""Declares `trained_teacher:<teacher>`, where a teacher is made by the build."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.teachers import Teacher, TrainedSource
from targets.budget.estimates import (
    student_device,
    student_needs,
    trained_parameters,
    training_seconds,
    volume,
)
from targets.declaring.conduct import training_conduct
from targets.declaring.slices import section_fields, slice_of


def declare(spec: Spec, teacher: Teacher, train: TrainedSource) -> Target:
    """Trained on the one data set of its capabilities."""
    dataset = spec.capabilities[teacher.capabilities[0]].dataset
    path = f"teachers.{teacher.id}.source.train"
    fields = section_fields(train.model_dump(mode="json"), path)
    fields["heads"] = (train.heads or _usual_heads(train.hidden), f"{path}.heads")
    declared = slice_of(spec, fields)
    return Target(
        id=f"trained_teacher:{teacher.id}",
        work="targets.trained_teacher.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "train": f"dataset:{dataset}#train.jsonl",
            "description": f"dataset:{dataset}#dataset.json",
        },
        needs=student_needs(spec),
        conduct=training_conduct(spec),
        expected_seconds=training_seconds(
            trained_parameters(train),
            train.steps,
            train.batch,
            volume(spec.datasets[dataset]).tokens,
            student_device(spec),
        ),
    )


def _usual_heads(hidden: int) -> int:
    """One for each 32 of the width, or the next fewer that divide it."""
    return next(heads for heads in range(max(1, hidden // 32), 0, -1) if hidden % heads == 0)
