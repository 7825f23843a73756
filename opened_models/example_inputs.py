"""Two made-up rows that a model can run on, from its configuration: what a probe needs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

TOKENS = 5


def example_inputs(model: PreTrainedModel, *, media: bool) -> dict[str, Tensor]:
    """Arguments of the forward for two equal rows: text, image or sound, whatever it reads.

    media: whether a model that reads text gets an image too.
    """
    accepted = inspect.signature(model.forward).parameters
    config = model.config
    given: dict[str, Tensor] = {}
    images = None
    if "pixel_values" in accepted and (media or "input_ids" not in accepted):
        images = _images(getattr(config, "vision_config", None) or config)
        given["pixel_values"] = images.to(model.device, model.dtype)
    if "input_features" in accepted:
        given["input_features"] = _sound(config).to(model.device, model.dtype)
    elif "input_ids" in accepted:
        token = image_token(config)
        given["input_ids"] = _words(config, token)
        if images is not None and token is not None:
            count = image_positions(model, given["pixel_values"])
            placed = [torch.full((count,), token), given["input_ids"]]
            given["input_ids"] = torch.cat(placed)
        given["input_ids"] = given["input_ids"].expand(2, -1).to(model.device)
    if "decoder_input_ids" in accepted:
        given["decoder_input_ids"] = _words(config, None).expand(2, -1).to(model.device)
    return given


def _words(config: Any, other_than: int | None) -> Tensor:
    """Some ids of the vocabulary, (TOKENS,)."""
    vocabulary = int(config.get_text_config(decoder=True).vocab_size)
    return torch.tensor(
        [index for index in range(vocabulary) if index != other_than][1 : TOKENS + 1]
    )


def image_token(config: Any) -> int | None:
    """The id that stands where an image's states are put into the text; None without one."""
    for name in ("image_token_id", "image_token_index"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    return None


@torch.no_grad()
def image_positions(model: PreTrainedModel, pixel_values: Tensor) -> int:
    """How many positions of the text one image takes."""
    found = model.get_image_features(pixel_values=pixel_values[:1])
    states = getattr(found, "pooler_output", found)
    return sum(part.reshape(-1, part.shape[-1]).shape[0] for part in states)


def _images(config: Any) -> Tensor:
    """Noise, (2, channels, height, width)."""
    size = config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    channels = int(getattr(config, "num_channels", 3))
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, height, width, generator=generator).expand(2, -1, -1, -1)


def _sound(config: Any) -> Tensor:
    """Noise, (2, mel bins, frames): two frames to each position of the encoder."""
    frames = 2 * int(config.max_source_positions)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, config.num_mel_bins, frames, generator=generator).expand(2, -1, -1)
