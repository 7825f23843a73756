"""What the packed student reads besides text, opened from the components of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.files import read_file
from nexus.media.intake import medium_module
from nexus.media.reading import MediaReader, projections_of
from nexus.stored_tensors import tensors_in
from nexus.strict_json import parse_json

if TYPE_CHECKING:
    from nexus.media.intake import Intake
    from nexusbuild.graph import Job


def media_reader(job: Job) -> MediaReader:
    """Of the capability that the job scores; one that reads text alone has nothing in it."""
    reads = tuple(job.settings.get("reads", ()))
    if not reads:
        return MediaReader((), {}, {})
    capability = job.target.partition(":")[2]
    projection = job.inputs["adapter"] / f"{capability}_projection.safetensors"
    return MediaReader(reads, open_intakes(job), projections_of(tensors_in(read_file(projection))))


def open_intakes(job: Job) -> dict[str, Intake]:
    """By medium, the packed encoders among a job's inputs, opened as the runtime opens them."""
    intakes = {}
    for medium in job.settings.get("reads", ()):
        folder = job.inputs[f"encoder/{medium}"]
        tensors = tensors_in(read_file(folder / f"{medium}_encoder.safetensors"))
        configuration = parse_json(read_file(folder / f"{medium}_encoder.json"))
        intakes[medium] = medium_module(medium).open_intake(tensors, configuration)
    return intakes
