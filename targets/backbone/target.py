"""Declares `backbone`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Problem, SpecFolder, Target
from specs.model import Spec
from targets.architecture.target import init_source
from targets.budget.estimates import backbone_needs, backbone_seconds
from targets.declaring.conduct import training_conduct
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.traced import tokenizer_inputs
from targets.pins import BACKBONE, TeacherOf

TRAINING = ("steps", "batch", "learning_rate", "kl_weight")


def declare(spec: Spec, pinned: tuple[TeacherOf, ...]) -> Target:
    """Distilled from the traces that the lock names."""
    backbone = spec.student.backbone
    fields = section_fields(
        {name: getattr(backbone, name) for name in TRAINING}, "student.backbone"
    )
    fields["init"] = ("path" if backbone.init else "scratch", "student.backbone.init")
    declared = slice_of(spec, fields)
    traces = {f"trace/{of.teacher}/{of.capability}": f"trace:{of}" for of in pinned}
    init = init_source(spec)
    teachers = sorted({of.teacher for of in pinned}) if init else []
    return Target(
        id="backbone",
        work="targets.backbone.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "architecture": "architecture:backbone",
            "tokenizer": "tokenizer",
            **traces,
            **tokenizer_inputs([of.teacher for of in pinned]),
            # What it starts from must be none of them, under whatever name it lies there.
            **{f"tensors/{name}": f"teacher:{name}#tensors.json" for name in teachers},
        },
        sources=init,
        needs=backbone_needs(spec),
        pin=BACKBONE,
        conduct=training_conduct(spec),
        expected_seconds=backbone_seconds(spec),
    )


def init_problems(spec: Spec, folder: SpecFolder, file: str) -> Iterator[Problem]:
    """A backbone that would start from a teacher's own folder under another path: by way of a
    link, say. The spec itself refuses the same path; copies are known by their tensors when the
    backbone is built, and again in the bundle.
    """
    init = spec.student.backbone.init
    if init is None:
        return
    for teacher in spec.teachers:
        path = teacher.source.path
        if path is not None and folder.real_path(path) == folder.real_path(init.path):
            yield Problem(
                message=f'{init.path} is the teacher "{teacher.id}": its weights would ship',
                file=file,
                field="student.backbone.init",
                remedy="start from a model that is no teacher, or from scratch",
            )
