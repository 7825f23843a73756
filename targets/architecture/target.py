"""Declares `architecture:backbone` and `architecture:<capability>`."""

from __future__ import annotations

from nexusbuild.plugins import Source, Target
from specs.model import Spec
from targets.budget.estimates import QUICK_SECONDS, quick_needs
from targets.declaring.slices import section_fields, slice_of
from targets.pins import TeacherOf

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
        needs=quick_needs(),
        pin="backbone",
        expected_seconds=QUICK_SECONDS,
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
        needs=quick_needs(),
        expected_seconds=QUICK_SECONDS,
    )


def init_source(spec: Spec) -> dict[str, Source]:
    """Role `init`: the model that the backbone starts from, where it does not from scratch."""
    init = spec.student.backbone.init
    if init is None:
        return {}
    remedy = (
        "put the model's folder there (config.json, *.safetensors), "
        "or correct student.backbone.init"
    )
    return {"init": Source(init.path, remedy)}
