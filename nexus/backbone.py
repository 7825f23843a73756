"""Open a packed backbone for decoding: the lean pass where it fits, else transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nexus.errors import blamed
from nexus.llama import LlamaDecoder
from nexus.llama_weights import Shape
from nexus.packing import CONFIG, WEIGHTS, PackedWeights, load_backbone

if TYPE_CHECKING:
    from nexus.transformers_decoder import TransformersDecoder


def open_decoder(
    directory: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LlamaDecoder | TransformersDecoder:
    """The packed backbone, computed in `dtype`. Raises BundleError naming the file at fault."""
    with blamed(f"backbone/{CONFIG}"):
        shape = Shape.of(json.loads((directory / CONFIG).read_text(encoding="utf-8")))
    if shape is None:
        # Some seconds of imports that the lean pass does not need.
        from nexus.transformers_decoder import TransformersDecoder

        return TransformersDecoder(load_backbone(directory, device, dtype))
    with blamed(f"backbone/{WEIGHTS}"):
        weights = PackedWeights(directory)
    with blamed(f"backbone/{CONFIG}"):
        return LlamaDecoder(shape, weights, torch.device(device), dtype)
