"""Rows of token ids to padded batches, in an order that a seed decides and a resume repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids with the positions that are learned.

    input_ids, attention_mask: (rows, length) int64. `where`: (answers, 2) row and position
    whose next token is predicted; `labels`: (answers,) those next tokens. `rows`: which rows
    of the data set these are; `answer_index`: (answers,) index of each label within its answer.
    """

    input_ids: Tensor
    attention_mask: Tensor
    where: Tensor
    labels: Tensor
    rows: list[int]
    answer_index: Tensor

    @property
    def rows_of_answers(self) -> Tensor:
        """(answers,) the data set's row that each label belongs to."""
        return torch.tensor(self.rows, device=self.where.device)[self.where[:, 0]]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.where.to(device),
            self.labels.to(device),
            self.rows,
            self.answer_index.to(device),
        )


def collate(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    rows: list[int],
    places: Sequence[int] | None = None,
) -> Batch:
    """Pad the named rows. The last token of an answer is predicted, never read.

    places: how many places each of these rows keeps free before its prompt, for soft tokens.
    """
    free = places if places is not None else [0] * len(rows)
    pairs = [
        ([*[0] * before, *prompts[row]], answers[row])
        for before, row in zip(free, rows, strict=True)
    ]
    lengths = [len(prompt) + len(answer) - 1 for prompt, answer in pairs]
    input_ids = np.zeros((len(rows), max(lengths)), dtype=np.int64)
    attention = np.zeros_like(input_ids)
    where: list[tuple[int, int]] = []
    labels: list[int] = []
    answer_index: list[int] = []
    for line, (prompt, answer) in enumerate(pairs):
        input_ids[line, : lengths[line]] = [*prompt, *answer[:-1]]
        attention[line, : lengths[line]] = 1
        start = len(prompt) - 1
        where.extend((line, start + offset) for offset in range(len(answer)))
        labels.extend(answer)
        answer_index.extend(range(len(answer)))
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(attention),
        torch.tensor(where),
        torch.tensor(labels),
        rows,
        torch.tensor(answer_index),
    )


def batch_rows(lengths: Sequence[int], batch: int, steps: int, seed: int) -> list[list[int]]:
    """The rows of every step: each epoch shuffled, rows of like length side by side.

    Windows of 16 batches are sorted by length before they are cut, so that little is padded;
    the order of the batches within a window is shuffled again.
    """
    generator = np.random.default_rng(seed)
    plan: list[list[int]] = []
    size = min(batch, len(lengths))
    while len(plan) < steps:
        order = generator.permutation(len(lengths))
        for start in range(0, len(order) - size + 1, size * 16):
            window = order[start : start + size * 16]
            window = window[np.argsort([lengths[row] for row in window], kind="stable")]
            batches = [
                window[cut : cut + size].tolist() for cut in range(0, len(window) - size + 1, size)
            ]
            plan.extend(batches[index] for index in generator.permutation(len(batches)))
    return plan[:steps]


def tokens_of_steps(lengths: Sequence[int], plan: Sequence[Sequence[int]]) -> list[int]:
    """Tokens that each step of a plan of `batch_rows` reads, padding aside."""
    return [sum(lengths[row] for row in rows) for rows in plan]
