"""List every teacher of the build and what each of them teaches.

All of them are seen here side by side: so this is where a teacher of an isolated capability is
found out that stands in the spec a second time, as a copy that was saved in another form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modalities.json_files import read_json, write_json
from targets.registry.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `teacher_registry.json`."""
    settings = Settings.from_json(job.settings)
    if settings.isolated:
        refuse_copies(
            settings,
            {each: read_json(path / "tensors.json") for each, path in job.inputs.items()},
        )
    teachers = []
    for teacher_id in sorted(job.inputs):
        about = read_json(job.inputs[teacher_id] / "teacher.json")
        taught = [
            name
            for name, capability in sorted(settings.capabilities.items())
            if teacher_id in capability["teachers"]
        ]
        teachers.append({**about, "capabilities": taught})
    write_json(
        job.out / "teacher_registry.json",
        {"teachers": teachers, "capabilities": settings.capabilities},
    )


class CopiedTeacherError(ValueError):
    """A teacher of an isolated capability teaches another one under a second name."""

    exit_code = 2  # the spec is at fault


def refuse_copies(settings: Settings, tensors: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises CopiedTeacherError. tensors: teacher -> what its `tensors.json` says.

    One model is another where all its weights are the other's, compared as float32; tensors of one
    repeated value are nobody's. Fine-tunes of one base differ in some.
    """
    weights = {
        teacher: frozenset(
            about.get("sha256_float32", about["sha256"])
            for about in named.values()
            if not about["constant"]
        )
        for teacher, named in tensors.items()
    }
    for name in settings.isolated:
        for teacher in settings.capabilities[name]["teachers"]:
            for other, capability in _other_pairs(settings, name):
                own, copied = weights[teacher], weights[other]
                if other != teacher and own and copied and (own <= copied or copied <= own):
                    raise CopiedTeacherError(
                        f'"{name}" is isolated, but its teacher {teacher} is also {other}, weight '
                        f'for weight, which teaches "{capability}". Give "{capability}" another '
                        f'teacher, or drop `isolated` from "{name}"'
                    )


def _other_pairs(settings: Settings, name: str) -> list[tuple[str, str]]:
    """(teacher, capability) of all capabilities but this one."""
    return [
        (teacher, other)
        for other, about in sorted(settings.capabilities.items())
        if other != name
        for teacher in about["teachers"]
    ]
