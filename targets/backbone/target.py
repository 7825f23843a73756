"""Declares `backbone`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.names import families
from targets.backbone.estimate import estimate
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.pins import BACKBONE, TeacherOf
from targets.declaring.slices import section_fields, slice_of, training_conduct
from targets.declaring.sources import init_source
from targets.declaring.teachers import tokenizer_inputs

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
        code={} if init else {"family": families().module(backbone.family)},
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
        pin=BACKBONE,
        conduct=training_conduct(spec),
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The one of a build."""
    yield declare(context.spec, context.pins.backbone_parts)


KIND = Kind(
    name="backbone",
    per=Per.BUILD,
    declare=declare_all,
    estimate=estimate,
)
