"""How targets take in a teacher: those that open it, and those that learn from its traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nexusbuild.plugins import Source
from specs.teachers import Teacher
from targets.declaring.slices import Field
from targets.declaring.sources import remedy

# Of a teacher, training reads the tokenizer alone: another licence retrains nothing.
TOKENIZER_OF = "teacher:{teacher}#tokenizer"


@dataclass(frozen=True)
class OpenedTeacher:
    """Role `model`, as an input or a source, and the settings that say how it is opened."""

    inputs: Mapping[str, str]
    sources: Mapping[str, Source]
    fields: Mapping[str, Field]
    origins: Mapping[str, str]


def opened_teacher(teacher: Teacher) -> OpenedTeacher:
    """How a target opens a teacher."""
    path = f"teachers.{teacher.id}"
    source = teacher.source
    hub = {"repo": source.hub, "revision": source.revision} if source.hub else None
    return OpenedTeacher(
        inputs={"model": f"trained_teacher:{teacher.id}"} if source.train else {},
        sources={"model": _folder(source.path, source.origin, path)} if source.path else {},
        fields={"load": (teacher.load, f"{path}.load"), "hub": (hub, f"{path}.source.hub")},
        origins={"hub.repo": f"{path}.source.hub", "hub.revision": f"{path}.source.revision"}
        if hub
        else {},
    )


def _folder(written: str, origin: str | None, path: str) -> Source:
    content = "config.json, *.safetensors, tokenizer.json"
    own = f"put the model's folder there ({content})"
    return Source(written, remedy(origin, own, f"{path}.source.path"))


def tokenizer_inputs(teachers: list[str]) -> dict[str, str]:
    """Role `tokenizer/<teacher>`: of each teacher that a target's traces are from."""
    return {f"tokenizer/{teacher}": TOKENIZER_OF.format(teacher=teacher) for teacher in teachers}
