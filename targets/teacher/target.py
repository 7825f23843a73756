"""Declares `teacher:<teacher>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.slices import slice_of
from targets.declaring.teachers import opened_teacher
from targets.teacher.estimate import estimate


def declare(spec: Spec, teacher: Teacher) -> Target:
    """The record of a teacher; the one target that its licence belongs to."""
    opened = opened_teacher(teacher)
    licence = (teacher.licence, f"teachers.{teacher.id}.licence")
    declared = slice_of(spec, {**opened.fields, "licence": licence})
    return Target(
        id=f"teacher:{teacher.id}",
        work="targets.teacher.work:build",
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs=opened.inputs,
        sources=opened.sources,
    )


def declare_all(context: Context) -> Iterator[Target]:
    """Every teacher that something is learned from."""
    for teacher in context.teachers:
        yield declare(context.spec, teacher)


KIND = Kind(
    name="teacher",
    per=Per.TEACHER,
    declare=declare_all,
    estimate=estimate,
    opens_teacher=True,
)
