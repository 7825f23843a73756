"""Rows as a given model reads them: decoders, encoder-decoders, encoders; text, image, sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.media_arrays import has_media, row_arrays
from modalities.text.encoding import Encoded, encode_apart, encode_read, encode_rows, endings
from nexus.prompt import render

Row = Mapping[str, Any]


def read_as(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    template: str,
    rows: Sequence[Row],
    processor: Any = None,
) -> list[Encoded]:
    """The rows as this model reads them, in the order given.

    A causal decoder reads prompt and answer; an encoder-decoder's encoder reads the prompt, or the
    sound, and its decoder the answer; a model that does not answer reads both as one text.
    """
    pairs = [(str(row["prompt"]), str(row["answer"])) for row in rows]
    if not any(has_media(row) for row in rows):
        return _texts(model, _needed(tokenizer), template, pairs, endings(rows))
    arrays = [row_arrays(processor, row) for row in rows]
    if tokenizer is None or not any(prompt or answer for prompt, answer in pairs):
        encoded = [Encoded([], []) for _ in rows]
    elif model.can_generate() and not model.config.is_encoder_decoder:
        encoded = [_beside_image(processor, tokenizer, template, row) for row in rows]
    else:
        encoded = _texts(model, tokenizer, template, pairs, endings(rows))
    made = []
    for one, of_row in zip(encoded, arrays, strict=True):
        media = {name: array.to(model.dtype) for name, array in of_row.items()}
        sound = "input_features" in media  # then the encoder reads no prompt
        made.append(replace(one, source=None if sound else one.source, media=media))
    return made


def decoder_start(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that an encoder-decoder's decoder begins with."""
    prefix = getattr(tokenizer, "prefix_tokens", None)  # Whisper's language and task
    if prefix:
        return [int(token) for token in prefix]
    start = model.config.decoder_start_token_id
    if start is None:
        start = getattr(model.generation_config, "decoder_start_token_id", None)
    if start is None:
        raise ValueError(
            f"{type(model).__name__} is an encoder-decoder whose configuration names no first "
            "token of the decoder: set `decoder_start_token_id` in its config.json"
        )
    return [int(start)]


def _texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    pairs: Sequence[tuple[str, str]],
    ended: Sequence[bool],
) -> list[Encoded]:
    if not model.can_generate():
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30)
        # RoBERTa's first position is the one after the padding's.
        longest = min(tokenizer.model_max_length, positions - 2)
        return encode_read(tokenizer, template, pairs, longest)
    if model.config.is_encoder_decoder:
        return encode_apart(tokenizer, template, pairs, decoder_start(model, tokenizer), ended)
    return encode_rows(tokenizer, template, pairs, ended)


def _beside_image(
    processor: Any, tokenizer: PreTrainedTokenizerBase, template: str, row: Row
) -> Encoded:
    """A prompt in which the processor has made room for the image, before it if it names none."""
    text = render(template, str(row["prompt"]))
    mark = str(processor.image_token)
    text = text if mark in text else f"{mark}\n{text}"
    from modalities.media_arrays import decoded_image

    prompt = processor(images=decoded_image(row), text=text)["input_ids"]
    ids = list(prompt[0]) if isinstance(prompt[0], list) else list(prompt)
    (answer,) = encode_rows(tokenizer, "{prompt}", [("", str(row["answer"]))], endings([row]))
    return Encoded([int(token) for token in ids], answer.answer_ids)


def _needed(tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise ValueError(
            "rows of text were given to a teacher whose folder holds no tokenizer; give it rows "
            "with `image` or `audio`, or put its tokenizer.json beside config.json"
        )
    return tokenizer
