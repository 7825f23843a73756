"""Rows side by side: token ids padded on the right, and which positions are which.

Padded on the right, a causal model needs no mask: nothing that counts can see the padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from targets.teachers.encoding import Encoded


@dataclass(frozen=True)
class Batch:
    """samples: index of each row's sample. ids: int64 (rows, tokens), padded with 0 at the end.

    Position p predicts token p + 1. `answer_rows`, `answer_positions` and `targets` name the
    positions that predict a token of the answer and what it is; all (answer tokens,).
    """

    samples: tuple[int, ...]
    ids: Tensor
    lengths: Tensor
    prompt_lengths: Tensor
    answer_rows: Tensor
    answer_positions: Tensor
    targets: Tensor

    def answer_mask(self) -> Tensor:
        """True where a position predicts a token of the answer; bool (rows, tokens)."""
        mask = torch.zeros_like(self.ids, dtype=torch.bool)
        mask[self.answer_rows, self.answer_positions] = True
        return mask

    def prompt_mask(self) -> Tensor:
        """True at positions of the prompt that predict more of the prompt, the first left out.

        The first token of a text is often an attention sink: its state says nothing of the text.
        """
        columns = torch.arange(self.ids.shape[1], device=self.ids.device)[None]
        return (columns > 0) & (columns < self.prompt_lengths[:, None] - 1)

    def mapped_mask(self) -> Tensor:
        """All positions of interest: of prompt and answer, without the first and the padding."""
        mask = self.answer_mask() | self.prompt_mask()
        mask[:, 0] = False
        return mask


def batches(
    rows: Sequence[Encoded], max_tokens: int, device: torch.device | str
) -> Iterator[Batch]:
    """The rows, sorted by length, in batches of at most `max_tokens` with padding."""
    lengths = [len(row.prompt_ids) + len(row.answer_ids) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (lengths[index], index))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= max_tokens:
            end += 1
        yield _batch(order[start:end], rows, device)
        start = end


def _batch(samples: list[int], rows: Sequence[Encoded], device: torch.device | str) -> Batch:
    texts = [[*rows[s].prompt_ids, *rows[s].answer_ids] for s in samples]
    prompts = [len(rows[s].prompt_ids) for s in samples]
    width = max(len(text) for text in texts)
    places = [
        (row, position)
        for row, text in enumerate(texts)
        for position in range(prompts[row] - 1, len(text) - 1)
    ]
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    answer_rows = torch.tensor([row for row, _ in places])
    answer_positions = torch.tensor([position for _, position in places])
    return Batch(
        samples=tuple(samples),
        ids=ids.to(device),
        lengths=torch.tensor([len(text) for text in texts], device=device),
        prompt_lengths=torch.tensor(prompts, device=device),
        answer_rows=answer_rows.to(device),
        answer_positions=answer_positions.to(device),
        targets=ids[answer_rows, answer_positions + 1].to(device),
    )
