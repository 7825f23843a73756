"""Greedy answers and likelihoods of a teacher of any family.

Causal decoders of text go the way that the student goes (`nexus.decoding`). Where an encoder, an
image or a sound comes first, the loop here does: what comes first is read once, then each row's
likeliest token is fed back over a cache. No sampling, no beams, no logits processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel

from modalities.text.encoding import Encoded
from nexus.decoding import (
    Done,
    Finished,
    answer_log_probs,
    greedy_decode,
    left_padded,
)


def greedy_answers(
    model: PreTrainedModel,
    rows: Sequence[Encoded],
    *,
    max_new_tokens: int,
    eos_token_id: int,
    batch_size: int = 64,
    finished: Finished | None = None,
    progress: Done | None = None,
) -> list[list[int]]:
    """New tokens of every row, in the order given, without the end; see `greedy_decode`."""
    if all(row.source is None and not row.media for row in rows):
        return greedy_decode(
            model,
            [row.prompt_ids for row in rows],
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            batch_size=batch_size,
            finished=finished,
            progress=progress,
            soft=[row.soft for row in rows],
        )
    answers: list[list[int]] = [[] for _ in rows]
    order = sorted(range(len(rows)), key=lambda index: (rows[index].tokens(), index))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        found = _decode_batch(
            model, [rows[place] for place in places], max_new_tokens, eos_token_id, finished
        )
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
        if progress is not None:
            progress(start + len(places), len(order))
    return answers


@torch.inference_mode()
def _decode_batch(
    model: PreTrainedModel,
    rows: Sequence[Encoded],
    max_new_tokens: int,
    end: int,
    finished: Finished | None,
) -> list[list[int]]:
    ids, mask = left_padded([row.prompt_ids for row in rows], model.device)
    inputs = first_inputs(model, rows)
    if model.config.is_encoder_decoder:
        # Every decoder starts with the same tokens, so none is padded.
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        given: dict[str, Any] = {"encoder_outputs": model.get_encoder()(**inputs)}
        if "attention_mask" in inputs:
            given["attention_mask"] = inputs["attention_mask"]
        later, name = given, "decoder_input_ids"
    else:
        cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        given, later, name = inputs, {}, "input_ids"
    answers: list[list[int]] = [[] for _ in rows]
    done = [False] * len(rows)
    for _ in range(max_new_tokens):
        if name == "input_ids":
            given["attention_mask"] = mask
            given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = model(**{name: ids}, **given, past_key_values=cache, use_cache=True)
        ids = output.logits[:, -1, :].argmax(dim=-1, keepdim=True)  # (rows, 1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        given = dict(later)
        for row, token in enumerate(ids[:, 0].tolist()):
            if done[row]:
                continue
            if token != end:
                answers[row].append(token)
            done[row] = token == end or (finished is not None and finished(answers[row]))
        if all(done):
            break
    return answers


@torch.inference_mode()
def answers_log_probs(
    model: PreTrainedModel, rows: Sequence[Encoded], batch_size: int = 64
) -> list[float]:
    """log p(answer | what comes before) of every row, in nats, summed over the answer's tokens."""
    if all(row.source is None and not row.media for row in rows):
        return answer_log_probs(
            model,
            [row.prompt_ids for row in rows],
            [row.answer_ids for row in rows],
            batch_size=batch_size,
            soft=[row.soft for row in rows],
        )
    sums = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: (rows[index].tokens(), index))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        chosen = [rows[place] for place in places]
        texts = [[*row.prompt_ids, *row.answer_ids] for row in chosen]
        width = max(len(text) for text in texts)
        padded = [[*text, *[0] * (width - len(text))] for text in texts]
        ids = torch.tensor(padded, device=model.device)
        name = "decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"
        # Padded on the right, a causal decoder sees no padding where it counts.
        output = model(**{name: ids}, **first_inputs(model, chosen), use_cache=False)
        log_probs = output.logits[:, :-1].float().log_softmax(dim=-1)
        of_tokens = log_probs.gather(2, ids[:, 1:, None])[:, :, 0]  # (rows, width - 1)
        for line, (place, row) in enumerate(zip(places, chosen, strict=True)):
            span = slice(len(row.prompt_ids) - 1, len(texts[line]) - 1)
            sums[place] = float(of_tokens[line, span].double().sum())
    return sums


def first_inputs(model: PreTrainedModel, rows: Sequence[Encoded]) -> dict[str, Tensor]:
    """What comes before the decoder's text: arrays of images or sounds, an encoder's padded text.

    The padding of an encoder's text is on the right and masked.
    """
    inputs = {
        name: torch.stack([row.media[name] for row in rows]).to(model.device)
        for name in rows[0].media
    }
    if rows[0].source is not None:
        sources = [row.source or [] for row in rows]
        width = max(len(source) for source in sources)
        ids = [[*source, *[0] * (width - len(source))] for source in sources]
        mask = [[1] * len(source) + [0] * (width - len(source)) for source in sources]
        inputs["input_ids"] = torch.tensor(ids, device=model.device)
        inputs["attention_mask"] = torch.tensor(mask, device=model.device)
    return inputs
