"""Declares `architecture:backbone` and `architecture:<capability>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.pins import TeacherOf
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.sources import init_source

SHAPE = ("family", "hidden", "layers", "heads", "intermediate")


def declare_backbone(spec: Spec, pinned: tuple[TeacherOf, ...]) -> Target:
    """The backbone's shape, from the profiles of the capabilities that it is made for."""
    backbone = spec.student.backbone
    fields = section_fields({name: getattr(backbone, name) for name in SHAPE}, "student.backbone")
    fields["init"] = ("path" if backbone.init else "scratch", "student.backbone.init")
    declared = slice_of(spec, fields)
    inputs = {f"profile/{of.teacher}/{of.capability}": f"profile:{of}" for of in pinned}
    inputs |= {f"teacher/{of.teacher}": f"teacher:{of.teacher}#teacher.json" for of in pinned}
    return Target(
        id="architecture:backbone",
        work="targets.architecture.work:build_backbone",
        settings=declared.settings,
        origins=declared.origins,
        inputs=inputs,
        sources=init_source(spec),
        pin="backbone",
    )


def declare_adapter(spec: Spec, name: str) -> Target:
    """Ranks and protected subspaces of the adapter of the capability `name`."""
    own = spec.capabilities[name].training
    field = (
        f"capabilities.{name}.training" if "rank" in own.model_fields_set else ("student.training")
    )
    declared = slice_of(spec, {"rank": (spec.training_of(name).rank, f"{field}.rank")})
    profiles = {
        f"profile/{teacher.id}": f"profile:{teacher.id}/{name}"
        for teacher in spec.teachers_of(name)
    }
    return Target(
        id=f"architecture:{name}",
        work="targets.architecture.work:build_adapter",
        settings=declared.settings,
        origins=declared.origins,
        inputs={**profiles, "backbone": "architecture:backbone"},
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The backbone's, and one for each capability."""
    yield declare_backbone(context.spec, context.pins.backbone_parts)
    for name in context.capabilities:
        yield declare_adapter(context.spec, name)


KIND = Kind(
    name="architecture",
    per=Per.CAPABILITY,
    declare=declare_all,
)
