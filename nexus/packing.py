"""Open a packed backbone: plain, int8 or nf4 in bitsandbytes' serialised forms, as float weights.

The stored form is bitsandbytes' own, so that any tool opens it; reading it needs three lines of
arithmetic and not the library. Packing is not done here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, GenerationConfig, PreTrainedModel
from transformers.utils import logging

from nexus.errors import blamed

WEIGHTS = "backbone.safetensors"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
INDEX = "model.safetensors.index.json"

# bitsandbytes multiplies by the float32 nearest to 1/127 and by nothing nearer.
INT8_STEP = 7.874015718698502e-3
NF4_STATE = "quant_state.bitsandbytes__nf4"
# Stored beside an nf4 weight, as `<name>.weight.<key>`.
NF4_KEYS = ("absmax", "quant_map", NF4_STATE)


def load_backbone(
    directory: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """The packed backbone in evaluation mode, every weight dequantised to `dtype`.

    Dequantisation happens in float32, exactly as bitsandbytes does it. Reads local files only.
    Raises BundleError naming the file that is not what it should be.
    """
    with blamed(f"backbone/{CONFIG}"):
        config = AutoConfig.from_pretrained(directory, local_files_only=True)
        architecture = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if hasattr(config, "quantization_config"):
        # The weights below are no longer quantised, so the model must not say they are.
        del config.quantization_config
    with blamed(f"backbone/{WEIGHTS}"):
        weights = {name: tensor.to(dtype) for name, tensor in float_weights(directory).items()}
    with blamed(f"backbone/{CONFIG}"), _without_progress_bar():
        model, differences = architecture.from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
        )
        # transformers would fill what is missing with noise, and drop what is left over.
        for kind in ("missing_keys", "unexpected_keys"):
            if names := sorted(differences[kind]):
                raise ValueError(f"it describes a model other than {WEIGHTS}: {kind} {names[:3]}")
    with blamed(f"backbone/{GENERATION_CONFIG}"):
        model.generation_config = GenerationConfig.from_pretrained(directory, local_files_only=True)
    model.requires_grad_(False)
    opened: PreTrainedModel = model.eval().to(device)
    return opened


def float_weights(directory: Path) -> dict[str, Tensor]:
    """All weights of a packed backbone by name; quantised ones dequantised to float32."""
    stored = load_file(directory / WEIGHTS)
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        module, _, leaf = name.rpartition(".")
        if leaf in ("SCB", "weight_format") or ".weight." in name:
            continue
        if tensor.dtype == torch.int8:
            weights[name] = int8_weight(tensor, stored[f"{module}.SCB"])
        elif f"{name}.{NF4_STATE}" in stored:
            weights[name] = nf4_weight(tensor, *(stored[f"{name}.{key}"] for key in NF4_KEYS))
        else:
            weights[name] = tensor
    return weights


def int8_weight(codes: Tensor, row_max: Tensor) -> Tensor:
    """bitsandbytes' int8: codes (out, in) int8 times the row's largest magnitude over 127."""
    return codes * row_max.view(-1, 1) * INT8_STEP


def nf4_weight(packed: Tensor, block_max: Tensor, code: Tensor, state: Tensor) -> Tensor:
    """bitsandbytes' nf4: two codes a byte, high nibble first, scaled block by block.

    packed: uint8 (codes / 2, 1); block_max: float32 (blocks,); code: the 16 values, float32;
    state: JSON in uint8 with `blocksize` and `shape`. Dettmers et al. 2023, section 3.
    """
    about: dict[str, Any] = json.loads(bytes(state.tolist()))
    high, low = packed.view(-1) >> 4, packed.view(-1) & 0xF
    codes = torch.stack([high, low], dim=1).view(-1).long()
    shape = torch.Size(about["shape"])
    values = code[codes[: shape.numel()]].view(-1, int(about["blocksize"]))
    return (values * block_max.view(-1, 1)).view(shape)


def end_of_sequence(model: PreTrainedModel) -> int:
    """The id that ends an answer; the first of them where a model knows several."""
    ids = model.generation_config.eos_token_id
    if ids is None:
        ids = model.config.eos_token_id
    if ids is None:
        raise ValueError("the backbone's generation_config.json names no eos_token_id")
    return int(ids[0]) if isinstance(ids, list) else int(ids)


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """transformers draws a bar for every load; a library that loads in milliseconds must not."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
