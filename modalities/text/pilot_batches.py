"""Rows side by side: what the model is run on, and which positions are which.

Text that a decoder reads is padded on the right: being causal it needs no mask, for nothing that
counts can see the padding. What an encoder reads is padded on the right and masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modalities.text.encoding import Encoded
from modalities.text.teacher_decoding import first_inputs
from opened_models.batches import MEDIA_TOKENS, Batch
from opened_models.structure import Structure


def batches(rows: Sequence[Encoded], max_tokens: int, structure: Structure) -> Iterator[Batch]:
    """The rows, sorted by length, in batches of at most `max_tokens` with padding."""
    lengths = [row.tokens() or MEDIA_TOKENS for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (lengths[index], index))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= max_tokens:
            end += 1
        yield _batch(order[start:end], [rows[index] for index in order[start:end]], structure)
        start = end


def _batch(places: list[int], rows: list[Encoded], structure: Structure) -> Batch:
    device = structure.model.device
    answering = structure.answering
    predicts = structure.output is not None
    texts = [[*row.prompt_ids, *row.answer_ids] for row in rows]
    inputs = first_inputs(structure.model, rows)
    sides: dict[str, Tensor] = {}
    if rows[0].source is not None:
        source = inputs["attention_mask"].bool()
        sides[structure.towers[0].name] = torch.stack([torch.zeros_like(source), source])
    answer_rows = positions = targets = torch.zeros(0, dtype=torch.long)
    if any(texts):
        decoder = structure.model.config.is_encoder_decoder and predicts
        inputs["decoder_input_ids" if decoder else "input_ids"] = _pad(texts).to(device)
        if not predicts:
            inputs["attention_mask"] = _mask(texts).to(device)
        of_text = _text_sides(rows, predicts=predicts)
        if predicts:
            answer_rows, positions = of_text[0].nonzero().T
            targets = _pad(texts)[answer_rows, positions + 1]
        if answering.first_alone:
            of_text[:, :, 0] = False
        sides[answering.name] = of_text.to(device)
    return Batch(
        samples=tuple(places),
        inputs=inputs,
        sides=sides,
        media_side=1 if predicts else 0,
        answer_rows=answer_rows.to(device),
        answer_positions=positions.to(device),
        targets=targets.to(device),
    )


def _text_sides(samples: list[Encoded], *, predicts: bool) -> Tensor:
    """Answer and rest of prompts and answers padded on the right; bool (2, rows, tokens).

    Where a tower predicts, a state is of the token that comes next, and the prompt's last is the
    answer's first.
    """
    ahead = 1 if predicts else 0
    prompts = torch.tensor([len(sample.prompt_ids) for sample in samples])[:, None] - ahead
    ends = prompts + torch.tensor([len(sample.answer_ids) for sample in samples])[:, None]
    columns = torch.arange(int(ends.max()) + ahead)[None]
    return torch.stack([(columns >= prompts) & (columns < ends), columns < prompts])


def _pad(texts: Sequence[Sequence[int]]) -> Tensor:
    width = max(len(text) for text in texts)
    return torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])


def _mask(texts: Sequence[Sequence[int]]) -> Tensor:
    width = max(len(text) for text in texts)
    return torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
