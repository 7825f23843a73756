"""What a teacher says of its own accord: greedily, or drawn from its distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.answers import Description, ReadRows
from modalities.text.drawn_tokens import keep_drawn, read_drawn
from modalities.text.encoding import Encoded
from modalities.text.reading import read_as
from modalities.text.teacher_decoding import first_inputs
from nexus.decoding import left_padded
from nexus.prompt import cut


@dataclass(frozen=True)
class OwnAnswer:
    """A row with the model's own answer, and the new tokens that it is of, the end included."""

    row: dict[str, Any]
    tokens: list[int]


@torch.inference_mode()
def own_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    description: Description,
    *,
    temperature: float,
    seed: int,
    batch: int = 64,
    kept: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    read: ReadRows | None = None,
) -> list[OwnAnswer]:
    """The rows with the model's own answers, in the order given.

    `ended` says whether the model closed its answer itself, rather than was stopped: only then
    is an end of sequence part of the answer, for learning and for scoring. At temperature 0 the
    likeliest token is taken; else tokens are drawn, and the same rows and seed draw the same.

    kept: a file for what is answered so far. After a kill the same call goes on behind the last
    whole batch and draws what it would have drawn. progress: called with the number of rows
    answered and the number of all.
    """
    # What a row's own answer may be is nothing that is read.
    read = read or partial(read_as, model, tokenizer, description.template)
    encoded = read([{**row, "answer": ""} for row in rows])
    order = sorted(range(len(rows)), key=lambda index: encoded[index].tokens())
    torch.manual_seed(seed)
    drawn = read_drawn(kept)
    for start in range(len(drawn), len(order), batch):
        chosen = [encoded[index] for index in order[start : start + batch]]
        drawn += _generate_batch(model, tokenizer, chosen, description, temperature)
        if kept is not None:
            keep_drawn(kept, drawn)
        if progress:
            progress(len(drawn), len(rows))
    answered = {
        index: OwnAnswer(_row(tokenizer, rows[index], encoded[index], tokens, description), tokens)
        for index, tokens in zip(order, drawn, strict=True)
    }
    return [answered[index] for index in range(len(rows))]


def _row(
    tokenizer: PreTrainedTokenizerBase,
    row: Mapping[str, Any],
    encoded: Encoded,
    tokens: Sequence[int],
    description: Description,
) -> dict[str, Any]:
    whole = _said(tokenizer, encoded.prompt_ids, tokens)
    text = cut(whole, list(description.stop_strings))
    ended = int(tokenizer.eos_token_id) in tokens or len(text) < len(whole)
    return {**row, "answer": text, "ended": ended}


def _said(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """The text that the tokens add. Alone, some tokenizers would drop the blank it begins with."""
    before = tokenizer.decode(prompt, skip_special_tokens=True)
    both = tokenizer.decode([*prompt, *tokens], skip_special_tokens=True)
    if both.startswith(before):
        return str(both[len(before) :])
    return str(tokenizer.decode(tokens, skip_special_tokens=True))


def _generate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Encoded],
    description: Description,
    temperature: float,
) -> list[list[int]]:
    """New tokens of one batch, up to the first that ends an answer."""
    end = int(tokenizer.eos_token_id)
    ids, mask = left_padded([row.prompt_ids for row in rows], model.device)
    decoder = {"decoder_input_ids": ids}
    if not model.config.is_encoder_decoder:
        decoder = {"input_ids": ids, "attention_mask": mask}
    configured = model.generation_config.eos_token_id
    ends = {*(configured if isinstance(configured, list) else [configured]), end} - {None}
    drawing = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
    out = model.generate(
        **first_inputs(model, rows),
        **decoder,
        do_sample=temperature > 0,
        max_new_tokens=description.max_new_tokens,
        eos_token_id=sorted(ends),
        pad_token_id=end,
        **drawing,
    )
    found = []
    for tokens in out[:, ids.shape[1] :].tolist():
        last = next((place for place, token in enumerate(tokens) if token in ends), len(tokens) - 1)
        found.append(tokens[: last + 1])
    return found
