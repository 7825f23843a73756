"""Activation anchors: where the teacher stood in its protected subspaces, the student follows.

A linear map takes the student's residual stream to the teacher's coefficients. It starts at the
ridge solution, is trained with the adapter, and is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

Figures = dict[str, float]

RIDGE = 1e-2
FIT_TOKENS = 8192
FIT_BATCH = 32
# Rows with coefficients that nothing learns from: on these the deviation is looked at.
HELD_ROWS = 64
HELD_SHARE = 0.2


class ActivationAnchors:
    """The anchors of one capability on one student.

    held_rows: rows, the last that have coefficients, which training is to leave out.
    """

    def __init__(self, model: PreTrainedModel, rows: StudentRows) -> None:
        self._structure = find_structure(model)
        self._rows = rows
        self._streams: dict[int, Tensor] = {}
        depth = len(self._structure.blocks)
        self._blocks = {
            name: student_layer(anchored.layer, anchored.depth, depth)
            for name, anchored in rows.coefficients.items()
        }
        self.held_rows = _last_rows(rows)
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

    def deviations(self, batch: Batch) -> dict[str, Tensor]:
        """By anchor the mean squared distance from the teacher's coefficients on a batch.

        In units of the coefficients' own variance, so that 1 is a map that knows nothing. Anchors
        that the batch's teachers do not have are left out.
        """
        found = {}
        for name, block in self._blocks.items():
            states, targets = self._pairs(name, block, batch)
            if len(targets):
                found[name] = ((_with_one(states) @ self.maps[name] - targets) ** 2).mean()
        self._streams.clear()
        return found

    def deviation(self, batch: Batch) -> Tensor:
        """Mean of `deviations` over all anchors, 0 for those that are left out."""
        total = torch.zeros((), device=self._rows.starts.device)
        return sum(self.deviations(batch).values(), total) / len(self._blocks)

    @torch.no_grad()
    def held_deviations(self, model: PreTrainedModel, weights: Mapping[str, Tensor]) -> Figures:
        """`deviations` on the held rows, the mean over batches, by `anchor/<name>`."""
        found: dict[str, list[float]] = {}
        for start in range(0, len(self.held_rows), FIT_BATCH):
            picked = self.held_rows[start : start + FIT_BATCH]
            batch = collate(self._rows.prompts, self._rows.answers, picked).to(model.device)
            with self.watching():
                answer_log_probs(model, batch, weights)
            for name, value in self.deviations(batch).items():
                found.setdefault(f"anchor/{name}", []).append(value.item())
        return {name: sum(values) / len(values) for name, values in found.items()}

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
        held = int(self._rows.starts[self.held_rows[0]]) if self.held_rows else None
        first = {
            name: (a.tokens if held is None else a.tokens[a.tokens < held])[:FIT_TOKENS]
            for name, a in self._rows.coefficients.items()
        }
        last = max(int(tokens[-1]) for tokens in first.values() if len(tokens))
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


def _last_rows(rows: StudentRows) -> list[int]:
    """The last rows that have coefficients, at most a share of these; none where there are few."""
    tokens = torch.cat([anchored.tokens for anchored in rows.coefficients.values()]).unique()
    anchored = (torch.searchsorted(rows.starts, tokens, right=True) - 1).unique().tolist()
    return anchored[len(anchored) - min(HELD_ROWS, int(HELD_SHARE * len(anchored))) :]


def _ridge(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    states = _with_one(torch.cat([states for states, _ in pairs])).double()
    targets = torch.cat([targets for _, targets in pairs]).double()
    gram = states.T @ states
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    return torch.linalg.solve(gram + penalty, states.T @ targets).float()


def _with_one(states: Tensor) -> Tensor:
    """(tokens, width) -> (tokens, width + 1): a constant column for the intercept."""
    return torch.cat([states, states.new_ones(len(states), 1)], dim=1)
