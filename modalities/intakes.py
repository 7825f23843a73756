"""The packed encoders among a job's inputs, opened as the runtime opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.files import read_file
from nexus.media.intake import medium_module
from nexus.stored_tensors import tensors_in
from nexus.strict_json import parse_json

if TYPE_CHECKING:
    from nexus.media.intake import Intake
    from nexusbuild.plugins import Job


def open_intakes(job: Job) -> dict[str, Intake]:
    """By medium, of what the job's settings say that is read."""
    intakes = {}
    for medium in job.settings.get("reads", ()):
        folder = job.inputs[f"encoder/{medium}"]
        tensors = tensors_in(read_file(folder / f"{medium}_encoder.safetensors"))
        configuration = parse_json(read_file(folder / f"{medium}_encoder.json"))
        intakes[medium] = medium_module(medium).open_intake(tensors, configuration)
    return intakes
