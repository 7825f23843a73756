"""Rows with a picture, as a given teacher reads them: an encoder, or a model that answers.

A row's `parts` name the picture's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text import reading as text
from modalities.text.encoding import Encoded, encode_rows, endings
from nexus.prompt import render

Row = Mapping[str, Any]


def as_text(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Raises ValueError: a picture cannot be written down."""
    raise ValueError("a picture cannot be given to a model that reads text alone")


def read_as(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    template: str,
    rows: Sequence[Row],
    processor: Any = None,
) -> list[Encoded]:
    """The rows as this model reads them, in the order given.

    processor: the model's own, as transformers opens it. Raises ValueError where the teacher has
    none for pictures, or a file is not one.
    """
    if tokenizer is None or not any(row["prompt"] or row["answer"] for row in rows):
        encoded = [Encoded([], []) for _ in rows]
    elif model.can_generate() and not model.config.is_encoder_decoder:
        encoded = [_next_to_image(processor, tokenizer, template, row) for row in rows]
    else:
        encoded = text.read_as(model, tokenizer, template, rows)
    return [
        replace(one, media={"pixel_values": pixel_values(processor, row).to(model.dtype)})
        for one, row in zip(encoded, rows, strict=True)
    ]


def pixel_values(processor: Any, row: Row) -> Tensor:
    """The row's picture as the model takes it, (channels, height, width)."""
    found = getattr(processor, "image_processor", None) or processor
    if found is None or not callable(found):
        raise ValueError(
            "a row holds a picture, but the teacher's folder has no processor for it: put its "
            "preprocessor_config.json next to config.json"
        )
    values: Tensor = found(images=picture(row), return_tensors="pt")["pixel_values"][0]
    return values


def picture(row: Row) -> NDArray[np.uint8]:
    """The row's picture, (height, width, 3). Raises ValueError where its file is not a picture."""
    from PIL import Image

    try:
        with Image.open(row["parts"]["image"]) as image:
            return np.asarray(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ValueError(f"row {row.get('id')}: `image` is not a picture ({error})") from error


def _next_to_image(
    processor: Any, tokenizer: PreTrainedTokenizerBase, template: str, row: Row
) -> Encoded:
    """A prompt in which the processor has made room for the image, before it if it names none."""
    prompt = render(template, str(row["prompt"]))
    mark = str(processor.image_token)
    prompt = prompt if mark in prompt else f"{mark}\n{prompt}"
    read = processor(images=picture(row), text=prompt)["input_ids"]
    ids = list(read[0]) if isinstance(read[0], list) else list(read)
    (answer,) = encode_rows(tokenizer, "{prompt}", [("", str(row["answer"]))], endings([row]))
    return Encoded([int(token) for token in ids], answer.answer_ids)
