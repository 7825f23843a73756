"""Rows with a sound, as a given teacher reads them: an encoder of sound, or one with a decoder.

A row's `parts` name the sound's file.
"""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text import reading as text
from modalities.text.encoding import Encoded

Row = Mapping[str, Any]


def as_text(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Raises ValueError: a sound cannot be written down."""
    raise ValueError("a sound cannot be given to a model that reads text alone")


def read_as(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    template: str,
    rows: Sequence[Row],
    processor: Any = None,
) -> list[Encoded]:
    """The rows as this model reads them, in the order given: its encoder reads no prompt.

    processor: the model's own, as transformers opens it. Raises ValueError where the teacher has
    none for sound, or a file is not a sound.
    """
    if tokenizer is None or not any(row["prompt"] or row["answer"] for row in rows):
        encoded = [Encoded([], []) for _ in rows]
    else:
        encoded = text.read_as(model, tokenizer, template, rows)
    return [
        replace(
            one,
            source=None,
            media={"input_features": input_features(processor, row).to(model.dtype)},
        )
        for one, row in zip(encoded, rows, strict=True)
    ]


def input_features(processor: Any, row: Row) -> Tensor:
    """The row's sound as the model takes it, (bins, frames)."""
    extractor = getattr(processor, "feature_extractor", None) or processor
    if extractor is None or not callable(extractor):
        raise ValueError(
            "a row holds a sound, but the teacher's folder has no processor for it: put its "
            "preprocessor_config.json next to config.json"
        )
    rate = int(extractor.sampling_rate)
    read = extractor(samples(row, rate), sampling_rate=rate, return_tensors="pt")
    features: Tensor = read["input_features"][0]
    return features


def samples(row: Row, rate: int) -> NDArray[np.float32]:
    """The row's sound at `rate` samples a second, one channel, -1 to 1; (samples,).

    Raises ValueError where its file is not a 16-bit WAV file.
    """
    from scipy.signal import resample_poly

    try:
        with wave.open(row["parts"]["audio"]) as sound:
            if sound.getsampwidth() != 2:
                raise ValueError(f"{8 * sound.getsampwidth()} bits a sample; 16 are read")
            channels, own_rate = sound.getnchannels(), sound.getframerate()
            read = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
    except (ValueError, OSError, EOFError, wave.Error) as error:
        raise ValueError(
            f"row {row.get('id')}: `audio` is not a 16-bit WAV file ({error})"
        ) from error
    mono = read.reshape(-1, channels).mean(axis=1) / 32768
    shared = gcd(rate, own_rate)
    resampled: NDArray[np.float32] = resample_poly(mono, rate // shared, own_rate // shared).astype(
        np.float32
    )
    return resampled
