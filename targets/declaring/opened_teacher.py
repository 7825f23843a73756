"""What every target that opens a teacher declares in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nexusbuild.plugins import Needs, Source, SpecFolder
from specs.model import Spec
from specs.teachers import Teacher
from targets.budget.estimates import opened_needs, opened_seconds, teacher_parameters
from targets.declaring.origins import remedy
from targets.declaring.slices import Field


@dataclass(frozen=True)
class OpenedTeacher:
    """Role `model`, as an input or a source, and the settings that say how it is opened."""

    inputs: Mapping[str, str]
    sources: Mapping[str, Source]
    fields: Mapping[str, Field]
    origins: Mapping[str, str]
    needs: Needs
    seconds_of: Mapping[str, float]


def opened_teacher(
    spec: Spec, folder: SpecFolder, teacher: Teacher, capability: str | None = None
) -> OpenedTeacher:
    """How a target of this spec, which lies in `folder`, opens a teacher, for a capability."""
    path = f"teachers.{teacher.id}"
    source = teacher.source
    hub = {"repo": source.hub, "revision": source.revision} if source.hub else None
    parameters = teacher_parameters(folder, teacher)
    return OpenedTeacher(
        inputs={"model": f"trained_teacher:{teacher.id}"} if source.train else {},
        sources={"model": _folder(source.path, source.origin, path)} if source.path else {},
        fields={"load": (teacher.load, f"{path}.load"), "hub": (hub, f"{path}.source.hub")},
        origins={"hub.repo": f"{path}.source.hub", "hub.revision": f"{path}.source.revision"}
        if hub
        else {},
        needs=opened_needs(spec.hardware, parameters, teacher.load),
        seconds_of=opened_seconds(spec, parameters, teacher.load, capability),
    )


def _folder(written: str, origin: str | None, path: str) -> Source:
    content = "config.json, *.safetensors, tokenizer.json"
    own = f"put the model's folder there ({content})"
    return Source(written, remedy(origin, own, f"{path}.source.path"))
