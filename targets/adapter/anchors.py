"""Activation anchors: where the teacher stood in its protected subspaces, the student follows.

A linear map takes the student's residual stream to the teacher's coefficients. It starts at the
ridge solution, is trained with the adapter, and is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from targets.architecture.capacity import student_layer
from targets.profile.structure import find_structure
from targets.profile.surgery import reading
from targets.training.distillation import StudentRows
from targets.training.outputs import answer_log_probs
from targets.training.sequences import Batch, collate

RIDGE = 1e-2
FIT_TOKENS = 8192
FIT_BATCH = 32


class ActivationAnchors:
    """The anchors of one capability on one student."""

    def __init__(self, model: PreTrainedModel, rows: StudentRows) -> None:
        self._structure = find_structure(model)
        self._rows = rows
        self._streams: dict[int, Tensor] = {}
        depth = len(self._structure.blocks)
        self._blocks = {
            name: student_layer(anchored.layer, anchored.depth, depth)
            for name, anchored in rows.coefficients.items()
        }
        self.maps = self._fitted(model)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts, the student's streams at the anchored blocks are kept for one pass."""

        def keep(block: int, stream: Tensor) -> None:
            self._streams[block] = stream

        with ExitStack() as stack:
            readers = {
                block: (lambda stream, block=block: keep(block, stream))
                for block in set(self._blocks.values())
            }
            stack.enter_context(reading(readers, self._structure))
            yield

    def deviation(self, batch: Batch) -> Tensor:
        """Mean squared distance from the teacher's coefficients over the batch's anchored tokens.

        In units of the coefficients' own variance, so that 1 is a map that knows nothing.
        """
        total = torch.zeros((), device=self._rows.starts.device)
        for name, block in self._blocks.items():
            states, targets = self._pairs(name, block, batch)
            if len(targets):
                total = total + ((_with_one(states) @ self.maps[name] - targets) ** 2).mean()
        self._streams.clear()
        return total / len(self._blocks)

    def _pairs(self, name: str, block: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Student states (anchored, width) and coefficients (anchored, k) of a batch."""
        anchored = self._rows.coefficients[name]
        tokens = self._rows.starts[batch.rows_of_answers] + batch.answer_index
        places = torch.searchsorted(anchored.tokens, tokens).clamp(max=len(anchored.tokens) - 1)
        there = anchored.tokens[places] == tokens
        where = batch.where[there]
        return self._streams[block][where[:, 0], where[:, 1]], anchored.values[places[there]]

    @torch.no_grad()
    def _fitted(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Ridge maps (width + 1, k) from the untrained student's states to the coefficients."""
        first = {
            name: a.tokens[: min(FIT_TOKENS, len(a.tokens))]
            for name, a in self._rows.coefficients.items()
        }
        last = max(int(tokens[-1]) for tokens in first.values())
        count = int(torch.searchsorted(self._rows.starts, last, right=True))
        pairs: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in self._blocks}
        for start in range(0, count, FIT_BATCH):
            picked = list(range(start, min(start + FIT_BATCH, count)))
            batch = collate(self._rows.prompts, self._rows.answers, picked).to(model.device)
            with self.watching():
                answer_log_probs(model, batch)
            for name, block in self._blocks.items():
                pairs[name].append(self._pairs(name, block, batch))
        self._streams.clear()
        return {name: _ridge(found).requires_grad_() for name, found in pairs.items()}


def _ridge(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    states = _with_one(torch.cat([states for states, _ in pairs])).double()
    targets = torch.cat([targets for _, targets in pairs]).double()
    gram = states.T @ states
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    return torch.linalg.solve(gram + penalty, states.T @ targets).float()


def _with_one(states: Tensor) -> Tensor:
    """(tokens, width) -> (tokens, width + 1): a constant column for the intercept."""
    return torch.cat([states, states.new_ones(len(states), 1)], dim=1)
