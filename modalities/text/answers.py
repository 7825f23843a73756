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
from nexus.prompt import cut

CHUNK = 256

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
    answered: list[dict[str, Any]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        encoded = read(chunk)
        texts = _decoded(model, tokenizer, encoded, description, batch)
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


def _decoded(
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
    texts = tokenizer.batch_decode(new_tokens, skip_special_tokens=True)
    return [cut(text, list(description.stop_strings)) for text in texts]


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
