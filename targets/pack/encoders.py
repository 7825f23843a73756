"""Write the encoder of a medium as it ships, opened once the way the runtime opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

from modalities.json_files import read_json, write_json
from nexus.media.intake import medium_module

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `<medium>_encoder.safetensors` and `<medium>_encoder.json`.

    Raises ValueError where the two do not make an intake.
    """
    medium = job.target.rpartition("/")[2]
    name = f"{medium}_encoder"
    tensors = load_file(job.inputs["encoder"] / f"{name}.safetensors")
    configuration = read_json(job.inputs["encoder"] / f"{name}.json")
    medium_module(medium).open_intake(tensors, configuration)
    stored = {key: tensor.float().contiguous() for key, tensor in sorted(tensors.items())}
    save_file(stored, job.out / f"{name}.safetensors", metadata={"format": "pt"})
    write_json(job.out / f"{name}.json", configuration)
