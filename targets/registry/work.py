"""List every teacher of the build and what each of them teaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modalities.json_files import read_json, write_json
from targets.registry.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `teacher_registry.json`."""
    settings = Settings.from_json(job.settings)
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
