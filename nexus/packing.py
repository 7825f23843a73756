"""Open a packed backbone: plain, int8 or nf4 in bitsandbytes' serialised forms, as float weights.

The stored form is bitsandbytes' own, so that any tool opens it; reading it needs three lines of
arithmetic and not the library. Packing is not done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nexus.configuration import parse_configuration, parse_description
from nexus.errors import REBUILD, BundleError, blame
from nexus.files import Folder, as_folder
from nexus.stored_tensors import tensors_in
from nexus.strict_json import parse_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "backbone.safetensors"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
INDEX = "model.safetensors.index.json"

# bitsandbytes multiplies by the float32 nearest to 1/127 and by nothing nearer.
INT8_STEP = 7.874015718698502e-3
NF4_STATE = "quant_state.bitsandbytes__nf4"
# Stored next to an nf4 weight, as `<name>.weight.<key>`.
NF4_KEYS = ("absmax", "quant_map", NF4_STATE)
MOST_STATE_BYTES = 10_000
# Numbers that a model may hold next to its weights.
MOST_BUFFERS = 1 << 26


def load_backbone(
    directory: Path | Folder, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """The packed backbone as a model of transformers, every weight dequantised to `dtype`.

    Dequantisation happens in float32, exactly as bitsandbytes does it. Reads local files only.
    Raises BundleError naming the file that is not what it should be.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, GenerationConfig

    folder = as_folder(directory)
    with blame(f"backbone/{CONFIG}"):
        described = parse_configuration(folder.read(CONFIG))
        # The weights below are no longer quantised, so the model must not say they are.
        described.pop("quantization_config", None)
        family = described["model_type"]
        # As transformers itself reads it: where each layer has its kind of attention.
        name = "ministral" if family == "mistral" and "layer_types" in described else family
        config = CONFIG_MAPPING[name].from_dict(described | {"model_type": name})
        architecture = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with blame(f"backbone/{WEIGHTS}"):
        weights = {name: tensor.to(dtype) for name, tensor in float_weights(folder).items()}
    with blame(f"backbone/{CONFIG}"), _without_progress_bar():
        _refuse_larger(architecture, config, weights)
        model, differences = architecture.from_pretrained(
            None,
            config=config,
            state_dict=weights,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=False,
        )
        # transformers would fill what is missing with noise, and drop what is left over.
        for kind in ("missing_keys", "unexpected_keys"):
            if names := sorted(differences[kind]):
                raise ValueError(f"it describes a model other than {WEIGHTS}: {kind} {names[:3]}")
    with blame(f"backbone/{GENERATION_CONFIG}"):
        about = parse_description(folder.read(GENERATION_CONFIG))
        model.generation_config = GenerationConfig.from_dict(about)
    model.requires_grad_(False)
    opened: PreTrainedModel = model.eval().to(device)
    return opened


def _refuse_larger(architecture: Any, config: Any, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a model of that configuration takes far more memory than its weights.

    What is missing would be made, before anyone could say that it is missing.
    """
    with torch.device("meta"):
        empty = architecture(config)
    needed = sum(tensor.numel() for tensor in (*empty.parameters(), *empty.buffers()))
    # Buffers, such as masks, are made by the model and stored nowhere; a head may be shared.
    stored = sum(tensor.numel() for tensor in weights.values())
    if needed > 2 * stored + MOST_BUFFERS:
        raise ValueError(f"it describes a model of {needed} numbers, and {WEIGHTS} has {stored}")


class PackedWeights:
    """The tensors of a packed backbone, read into memory once and dequantised one at a time.

    Raises OSError and ValueError where they cannot be read.
    """

    def __init__(self, directory: Path | Folder) -> None:
        self._stored = tensors_in(as_folder(directory).read(WEIGHTS))
        # An int8 weight has its scales and its format next to it, an nf4 weight its state below it.
        self.names = frozenset(
            name
            for name in self._stored
            if not name.endswith((".SCB", ".weight_format")) and ".weight." not in name
        )

    @property
    def numbers(self) -> int:
        """How many weights there are at most, of the packed ones two in a byte."""
        return 2 * sum(tensor.numel() for tensor in self._stored.values())

    def float32(self, name: str) -> Tensor:
        """The weight, dequantised where it is quantised."""
        tensor: Tensor = self._stored[name]
        if f"{name}.{NF4_STATE}" in self._stored:
            return nf4_weight(tensor, *(self._stored[f"{name}.{key}"] for key in NF4_KEYS))
        if (codes := self.int8(name)) is not None:
            return int8_weight(*codes)
        return tensor.float()

    def int8(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Codes (out, in) and the largest magnitude of every row (out,), where it is int8."""
        tensor = self._stored[name]
        if tensor.dtype != torch.int8:
            return None
        return tensor, self._stored[f"{name.removesuffix('.weight')}.SCB"]


def float_weights(directory: Path | Folder) -> dict[str, Tensor]:
    """All weights of a packed backbone by name; quantised ones dequantised to float32."""
    packed = PackedWeights(directory)
    return {name: packed.float32(name) for name in sorted(packed.names)}


def int8_weight(codes: Tensor, row_max: Tensor) -> Tensor:
    """bitsandbytes' int8: codes (out, in) int8 times the row's largest magnitude over 127.

    Raises ValueError where there is not one magnitude for each row.
    """
    if codes.ndim != 2 or row_max.shape != codes.shape[:1]:
        raise ValueError(f"codes of shape {tuple(codes.shape)} with {row_max.numel()} magnitudes")
    return codes * row_max.view(-1, 1) * INT8_STEP


def nf4_weight(packed: Tensor, block_max: Tensor, code: Tensor, state: Tensor) -> Tensor:
    """bitsandbytes' nf4: two codes a byte, high nibble first, scaled block by block.

    packed: uint8 (codes / 2, 1); block_max: float32 (blocks,); code: the 16 values, float32;
    state: JSON in uint8 with `blocksize` and `shape`. Dettmers et al. 2023, section 3. Raises
    ValueError where they do not fit each other.
    """
    if state.numel() > MOST_STATE_BYTES:
        raise ValueError(f"a state of {state.numel()} bytes")
    about: dict[str, Any] = parse_json(bytes(state.flatten().tolist()))
    high, low = packed.view(-1) >> 4, packed.view(-1) & 0xF
    codes = torch.stack([high, low], dim=1).view(-1).long()
    shape = torch.Size(about["shape"])
    values = code[codes[: shape.numel()]].view(-1, int(about["blocksize"]))
    if block_max.shape != values.shape[:1]:
        raise ValueError(f"{len(values)} blocks of codes with {block_max.numel()} magnitudes")
    return (values * block_max.view(-1, 1)).view(shape)


def ends_of_sequence(directory: Path | Folder) -> frozenset[int]:
    """The ids that end an answer, as generation_config.json says, or else config.json."""
    folder = as_folder(directory)
    for file in (GENERATION_CONFIG, CONFIG):
        with blame(f"backbone/{file}"):
            ids = parse_description(folder.read(file)).get("eos_token_id")
            if ids is not None:
                return frozenset(map(int, ids if isinstance(ids, list) else [ids]))
    raise BundleError(f"backbone/{GENERATION_CONFIG}", "names no eos_token_id", REBUILD)


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """transformers draws a bar for every load; a library that loads in milliseconds must not."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
