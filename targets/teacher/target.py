"""Declares `teacher:<teacher>`."""

from __future__ import annotations

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.opened_teacher import opened_teacher
from targets.declaring.slices import slice_of


def declare(spec: Spec, folder: SpecFolder, teacher: Teacher) -> Target:
    """The record of a teacher; the one target that its licence belongs to."""
    opened = opened_teacher(spec, folder, teacher)
    licence = (teacher.licence, f"teachers.{teacher.id}.licence")
    declared = slice_of(spec, {**opened.fields, "licence": licence})
    return Target(
        id=f"teacher:{teacher.id}",
        work="targets.teacher.work:build",
        settings=declared.settings,
        origins={**declared.origins, **opened.origins},
        inputs=opened.inputs,
        sources=opened.sources,
        needs=opened.needs,
        expected_seconds=opened.seconds_of["teacher"],
    )
