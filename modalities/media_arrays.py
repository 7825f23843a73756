"""Images and sounds in rows, as the arrays that a model reads.

A row's `image` is an image file, its `audio` a WAV file, each in base64: a row holds all that it
stands for, and no path.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MEDIA = ("image", "audio")


def has_media(row: Mapping[str, Any]) -> bool:
    """Whether the row holds an image or a sound."""
    return any(row.get(kind) for kind in MEDIA)


def row_arrays(processor: Any, row: Mapping[str, Any]) -> dict[str, Tensor]:
    """The row's arrays by the name of the model's argument, without a row dimension.

    processor: the model's own, as transformers opens it. Raises ValueError where it has none for
    what the row holds, or the row's bytes are no such file.
    """
    arrays: dict[str, Tensor] = {}
    if row.get("image"):
        made = _part(processor, "image_processor", "image")(
            images=decoded_image(row), return_tensors="pt"
        )
        arrays["pixel_values"] = made["pixel_values"][0]
    if row.get("audio"):
        extractor = _part(processor, "feature_extractor", "audio")
        rate = int(extractor.sampling_rate)
        made = extractor(decoded_audio(row, rate), sampling_rate=rate, return_tensors="pt")
        arrays["input_features"] = made["input_features"][0]
    return arrays


def decoded_image(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The row's image, (height, width, 3)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(row["image"], validate=True))) as image:
            return np.asarray(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"row {row.get('id')}: `image` is no image file in base64 ({error})"
        ) from error


def decoded_audio(row: Mapping[str, Any], rate: int) -> NDArray[np.float32]:
    """The row's sound at `rate` samples a second, one channel, -1 to 1; (samples,)."""
    from scipy.signal import resample_poly

    try:
        with wave.open(io.BytesIO(base64.b64decode(row["audio"], validate=True))) as sound:
            if sound.getsampwidth() != 2:
                raise ValueError(f"{8 * sound.getsampwidth()} bits a sample; 16 are read")
            channels, own_rate = sound.getnchannels(), sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
    except (ValueError, EOFError, wave.Error) as error:
        raise ValueError(
            f"row {row.get('id')}: `audio` is no 16-bit WAV file in base64 ({error})"
        ) from error
    mono = samples.reshape(-1, channels).mean(axis=1) / 32768
    shared = gcd(rate, own_rate)
    sound_at_rate: NDArray[np.float32] = resample_poly(
        mono, rate // shared, own_rate // shared
    ).astype(np.float32)
    return sound_at_rate


def _part(processor: Any, name: str, kind: str) -> Any:
    """The processor's part for one kind of media, or the processor that is that part."""
    found = getattr(processor, name, None) or processor
    if found is None or not callable(found):
        raise ValueError(
            f"a row holds `{kind}`, but the teacher's folder has no processor for it: put its "
            "preprocessor_config.json beside config.json"
        )
    return found
