"""Declares `trained_teacher:<teacher>`, where a teacher is made by the build."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.names import families
from specs.teachers import Teacher, TrainedSource
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import payload_inputs, reading_code
from targets.declaring.slices import section_fields, slice_of, training_conduct
from targets.trained_teacher.estimate import estimate


def declare(spec: Spec, teacher: Teacher, train: TrainedSource) -> Target:
    """Trained on the one data set of its capabilities."""
    capability = teacher.capabilities[0]
    dataset = spec.capabilities[capability].dataset
    path = f"teachers.{teacher.id}.source.train"
    fields = section_fields(train.model_dump(mode="json"), path)
    fields["heads"] = (train.heads or _usual_heads(train.hidden), f"{path}.heads")
    declared = slice_of(spec, fields)
    return Target(
        id=f"trained_teacher:{teacher.id}",
        work="targets.trained_teacher.work:build",
        code={"family": families().module(train.family), **reading_code(spec, capability)},
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "train": f"dataset:{dataset}#train.jsonl",
            "description": f"dataset:{dataset}#dataset.json",
            **payload_inputs(spec, capability),
        },
        conduct=training_conduct(spec),
    )


def _usual_heads(hidden: int) -> int:
    """One for each 32 of the width, or the next fewer that divide it."""
    return next(heads for heads in range(max(1, hidden // 32), 0, -1) if hidden % heads == 0)


def declare_all(context: Context) -> Iterator[Target]:
    """Every teacher that the build trains."""
    for teacher in context.spec.teachers:
        if teacher.source.train is not None:
            yield declare(context.spec, teacher, teacher.source.train)


KIND = Kind(
    name="trained_teacher",
    per=Per.TEACHER,
    declare=declare_all,
    estimate=estimate,
    makes_teacher=True,
)
