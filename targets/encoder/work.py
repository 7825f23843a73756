"""Make the encoder of one medium, as the room of that medium does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from modalities.contract import EncoderModule
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `<medium>_encoder.safetensors` and `<medium>_encoder.json`."""
    torch.set_num_threads(job.threads)
    encoder: EncoderModule = job.load("encoder")
    encoder.build_encoder(job)
