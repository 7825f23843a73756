"""Rows of text as a given model reads them: decoders, encoder-decoders, encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.encoding import Encoded, encode_apart, encode_read, encode_rows, endings

Row = Mapping[str, Any]


def read_as(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    template: str,
    rows: Sequence[Row],
    processor: Any = None,
) -> list[Encoded]:
    """The rows as this model reads them, in the order given.

    A causal decoder reads prompt and answer; an encoder-decoder's encoder reads the prompt and its
    decoder the answer; a model that does not answer reads both as one text. processor: not used,
    for text needs none.
    """
    pairs = [(str(row["prompt"]), str(row["answer"])) for row in rows]
    return _texts(model, _require_tokenizer(tokenizer), template, pairs, endings(rows))


def as_text(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as a model that reads text alone is given them: as they are."""
    return [dict(row) for row in rows]


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


def _require_tokenizer(tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise ValueError(
            "rows of text were given to a teacher whose folder holds no tokenizer; put its "
            "tokenizer.json next to config.json, or give it rows of the medium that it reads"
        )
    return tokenizer
