"""Open a packed backbone for decoding: the lean pass where it fits, else transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nexus.configuration import parse_configuration
from nexus.errors import blame
from nexus.files import Folder, as_folder
from nexus.llama import LlamaDecoder
from nexus.llama_weights import Shape
from nexus.packing import CONFIG, WEIGHTS, PackedWeights, load_backbone

if TYPE_CHECKING:
    from nexus.transformers_decoder import TransformersDecoder


def open_decoder(
    directory: Path | Folder, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LlamaDecoder | TransformersDecoder:
    """The packed backbone, computed in `dtype`. Raises BundleError naming the file at fault."""
    folder = as_folder(directory)
    with blame(f"backbone/{CONFIG}"):
        shape = Shape.of(parse_configuration(folder.read(CONFIG)))
    if shape is None:
        # Some seconds of imports that the lean pass does not need.
        from nexus.transformers_decoder import TransformersDecoder

        return TransformersDecoder(load_backbone(folder, device, dtype))
    with blame(f"backbone/{WEIGHTS}"):
        weights = PackedWeights(folder)
    with blame(f"backbone/{CONFIG}"):
        return LlamaDecoder(shape, weights, torch.device(device), dtype)
