"""What the packed student reads besides text, opened from the components of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from modalities.intakes import open_intakes
from nexus.files import read_file
from nexus.media.intake import medium_module
from nexus.media.reading import MediaReader, projections_of
from nexus.stored_tensors import tensors_in

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def soft_tokens_of(job: Job) -> Callable[[Mapping[str, Any]], Tensor | None]:
    """A function: a row to its soft tokens, as the packed student reads it; None for text alone."""
    reads = tuple(job.settings.get("reads", ()))
    if not reads:
        return lambda row: None
    capability = job.target.partition(":")[2]
    stored = read_file(job.inputs["adapter"] / f"{capability}_projection.safetensors")
    reader = MediaReader(reads, open_intakes(job), projections_of(tensors_in(stored)))
    return lambda row: reader.soft(row["parts"])


def packages_of_media(job: Job) -> set[str]:
    """Packages that read the job's media; each is found and imported here, before confinement."""
    media = job.settings.get("reads", ())
    return {medium_module(medium).__name__.partition(".")[0] for medium in media}
