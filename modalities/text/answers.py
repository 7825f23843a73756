"""What a model answers to rows, and how likely it finds the reference answers.

Teacher and student are asked by the same code, so that a difference in score is a difference
between the models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.encoding import Encoded
from modalities.text.reading import read_as
from modalities.text.teacher_decoding import answers_log_probs, greedy_answers
from nexus.decoding import decoder_of
from nexus.prompt import cut

CHUNK = 256
# Of a generation config: what does not show where the likeliest token is taken, up to an end.
OF_NO_EFFECT = {
    "_from_model_config",
    "bos_token_id",
    "do_sample",
    "eos_token_id",
    "max_length",
    "max_new_tokens",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "temperature",
    "top_k",
    "top_p",
    "transformers_version",
    "use_cache",
}

ReadRows = Callable[[Sequence[Mapping[str, Any]]], list[Encoded]]
"""Rows to what a given model reads of each."""


@dataclass(frozen=True)
class Description:
    """The part of `dataset.json` that says how a prompt is put and where an answer stops."""

    template: str
    stop_strings: tuple[str, ...]
    max_new_tokens: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Description:
        stop = value["stop"]
        return cls(value["template"], tuple(stop["strings"]), int(stop["max_new_tokens"]))


def answered_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    description: Description,
    *,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
    read: ReadRows | None = None,
) -> list[dict[str, Any]]:
    """Greedy answers and likelihoods of the references, one row each, in the order given.

    read: what the model reads of the rows; by default their text. `log_prob` is in nats over the
    reference answer and its end, if it has one; `bytes` counts its UTF-8 bytes.
    """
    read = read or partial(read_as, model, tokenizer, description.template)

    def decode(_start: int, encoded: Sequence[Encoded]) -> list[str]:
        return _decode_batch(model, tokenizer, encoded, description, batch)

    return _in_chunks(model, rows, read, decode, batch, progress)


def known_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    tokens: Sequence[Sequence[int]],
    description: Description,
    *,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
    read: ReadRows | None = None,
) -> list[dict[str, Any]]:
    """`answered_rows` where the tokens that the model answers each row with are known already.

    tokens: the likeliest, as far as generation went; see `generates_likeliest`.
    """
    read = read or partial(read_as, model, tokenizer, description.template)
    end = int(tokenizer.eos_token_id)
    finished = answer_end(model, tokenizer, description.stop_strings)
    positions = decoder_of(model).positions

    def answer(encoded: Encoded, tokens: Sequence[int]) -> str:
        kept: list[int] = []
        for token in tokens[: max(0, positions - len(encoded.prompt_ids))]:
            if token == end:
                break
            kept.append(token)
            if finished is not None and finished(kept):
                break
        return _text(tokenizer, kept, description)

    def texts_of(start: int, encoded: Sequence[Encoded]) -> list[str]:
        return [answer(row, tokens[start + place]) for place, row in enumerate(encoded)]

    return _in_chunks(model, rows, read, texts_of, batch, progress)


def generates_likeliest(model: PreTrainedModel) -> bool:
    """Whether `model.generate(do_sample=False)` gives the tokens that `answered_rows` finds.

    It does for a causal decoder whose generation config changes nothing but where answers end and
    how tokens are drawn: no beams, no penalties, no forced tokens.
    """
    changed = set(model.generation_config.to_diff_dict())
    return changed <= OF_NO_EFFECT and not model.config.is_encoder_decoder


def _in_chunks(
    model: PreTrainedModel,
    rows: Sequence[Mapping[str, Any]],
    read: ReadRows,
    texts_of: Callable[[int, Sequence[Encoded]], list[str]],
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    """Answers and likelihoods; texts_of: answers of a chunk, from its first row's place on."""
    answered: list[dict[str, Any]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        encoded = read(chunk)
        texts = texts_of(start, encoded)
        likelihoods = answers_log_probs(model, encoded, batch_size=batch)
        answered.extend(
            {
                "id": row["id"],
                "answer": text,
                "log_prob": round(log_prob, 6),
                "tokens": len(ids.answer_ids),
                "bytes": len(row["answer"].encode()),
            }
            for row, text, log_prob, ids in zip(chunk, texts, likelihoods, encoded, strict=True)
        )
        if progress:
            progress(len(answered), len(rows))
    return answered


def _decode_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence[Encoded],
    description: Description,
    batch: int,
) -> list[str]:
    new_tokens = greedy_answers(
        model,
        encoded,
        max_new_tokens=description.max_new_tokens,
        eos_token_id=int(tokenizer.eos_token_id),
        batch_size=batch,
        finished=answer_end(model, tokenizer, description.stop_strings),
    )
    return [_text(tokenizer, tokens, description) for tokens in new_tokens]


def _text(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], description: Description
) -> str:
    text = tokenizer.decode(list(tokens), skip_special_tokens=True)
    return cut(str(text), list(description.stop_strings))


def answer_end(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stop_strings: Collection[str]
) -> Callable[[list[int]], bool] | None:
    """Where an answer ends besides the tokenizer's own end: other ends of the model, stop strings.

    None where there is nothing besides.
    """
    configured = model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends -= {None, tokenizer.eos_token_id}
    if not ends and not stop_strings:
        return None

    def finished(tokens: list[int]) -> bool:
        if tokens and tokens[-1] in ends:
            return True
        text = tokenizer.decode(tokens, skip_special_tokens=True) if stop_strings else ""
        return any(stop in text for stop in stop_strings)

    return finished
