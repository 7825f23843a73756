"""Anchors: where the teacher stood in its protected subspaces, the student follows.

A linear map takes the student's residual stream to the teacher's coefficients (`activation`), or
what the student's heads hand on to what the teacher's important heads added there (`attention`). It
starts at the ridge solution, is trained with the adapter, and is thrown away afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from modalities.text.outputs import answer_log_probs
from modalities.text.sequences import Batch, collate
from modalities.text.student_rows import AnchoredTokens, StudentRows
from opened_models.structure import find_structure
from opened_models.surgery import reading, reading_input
from targets.architecture.capacity import student_layer

Figures = dict[str, float]
Place = tuple[str, int]

RIDGE = 1e-2
FIT_TOKENS = 8192
FIT_BATCH = 32
# Rows with coefficients that nothing learns from: on these the deviation is looked at.
HELD_ROWS = 64
HELD_SHARE = 0.2


class Anchors:
    """The anchors of one capability on one student, of the kinds that have a weight.

    weights: by kind, above 0. held_rows: rows, the last that have coefficients, which training is
    to leave out.
    """

    def __init__(
        self, model: PreTrainedModel, rows: StudentRows, weights: Mapping[str, float]
    ) -> None:
        self._structure = find_structure(model)
        self._rows = rows
        self._weights = weights
        wanted = {name: one for name, one in rows.coefficients.items() if one.kind in weights}
        self.held_rows = _last_rows(wanted.values())
        self._held_from = self.held_rows[0] if self.held_rows else len(rows.lengths)
        # A teacher whose answers were better on held rows alone leaves nothing to learn from.
        self._anchored = {
            name: one for name, one in wanted.items() if one.rows[0] < self._held_from
        }
        depth = len(self._structure.blocks)
        self._places = {
            name: (one.kind, student_layer(one.layer, one.depth, depth))
            for name, one in self._anchored.items()
        }
        self._states: dict[Place, Tensor] = {}
        self.maps = self._fit_maps(model)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts, the student's states at the anchored blocks are kept for one pass."""

        def keeper(place: Place) -> Callable[[Tensor], None]:
            return lambda states: self._states.update({place: states})

        with ExitStack() as stack:
            for kind, block in set(self._places.values()):
                keep = keeper((kind, block))
                if kind == "attention":
                    out = self._structure.blocks[block].attentions[0].out
                    stack.enter_context(reading_input(out, keep))
                else:
                    stack.enter_context(reading({block: keep}, self._structure))
            yield

    def deviations(self, batch: Batch) -> dict[str, Tensor]:
        """By anchor the mean squared distance from the teacher's coefficients on a batch.

        In units of the coefficients' own variance, so that 1 is a map that knows nothing. Anchors
        that the batch's teachers do not have are left out.
        """
        found = {}
        for name in self._anchored:
            states, targets = self._pairs(name, batch)
            if len(targets):
                found[name] = ((_with_one(states) @ self.maps[name] - targets) ** 2).mean()
        self._states.clear()
        return found

    def penalty(self, batch: Batch) -> Tensor:
        """The weighted sum over kinds of the mean of their `deviations`; 0 for what is left out."""
        total = torch.zeros((), device=batch.labels.device)
        counts = Counter(one.kind for one in self._anchored.values())
        for name, deviation in self.deviations(batch).items():
            kind = self._anchored[name].kind
            total = total + self._weights[kind] / counts[kind] * deviation
        return total

    @torch.no_grad()
    def held_deviations(self, model: PreTrainedModel, weights: Mapping[str, Tensor]) -> Figures:
        """`deviations` on the held rows, the mean over batches."""
        found: dict[str, list[float]] = {}
        for start in range(0, len(self.held_rows), FIT_BATCH):
            picked = self.held_rows[start : start + FIT_BATCH]
            batch = collate(self._rows.prompts, self._rows.answers, picked).to(model.device)
            with self.watching():
                answer_log_probs(model, batch, weights)
            for name, value in self.deviations(batch).items():
                found.setdefault(name, []).append(value.item())
        return {name: sum(values) / len(values) for name, values in found.items()}

    def _pairs(self, name: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Student states (anchored, width) and coefficients (anchored, k) of a batch."""
        places, values = self._rows.anchored(name, batch)
        where = batch.where[places]
        return self._states[self._places[name]][where[:, 0], where[:, 1]], values

    @torch.no_grad()
    def _fit_maps(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Ridge maps (width + 1, k) from the untrained student's states to the coefficients."""
        count = max(self._rows_to_fit(one) for one in self._anchored.values())
        pairs: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in self._anchored}
        for start in range(0, count, FIT_BATCH):
            picked = list(range(start, min(start + FIT_BATCH, count)))
            batch = collate(self._rows.prompts, self._rows.answers, picked).to(model.device)
            with self.watching():
                answer_log_probs(model, batch)
            for name in self._anchored:
                pairs[name].append(self._pairs(name, batch))
        self._states.clear()
        return {name: _ridge(found).requires_grad_() for name, found in pairs.items()}

    def _rows_to_fit(self, one: AnchoredTokens) -> int:
        """Rows up to the one that holds the last of the tokens that a map is fitted on."""
        starts = one.records.starts
        last = min(FIT_TOKENS, int(starts[self._held_from])) - 1
        return int(np.searchsorted(starts, last, side="right"))


def _last_rows(anchored: Iterable[AnchoredTokens]) -> list[int]:
    """The last rows with coefficients, at most a share of these; none where there are few."""
    rows: list[int] = np.unique(np.concatenate([one.rows for one in anchored])).tolist()
    return rows[len(rows) - min(HELD_ROWS, int(HELD_SHARE * len(rows))) :]


def _ridge(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    states = _with_one(torch.cat([states for states, _ in pairs])).double()
    targets = torch.cat([targets for _, targets in pairs]).double()
    gram = states.T @ states
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    ridge: Tensor = torch.linalg.solve(gram + penalty, states.T @ targets).float()
    return ridge


def _with_one(states: Tensor) -> Tensor:
    """(tokens, width) -> (tokens, width + 1): a constant column for the intercept."""
    return torch.cat([states, states.new_ones(len(states), 1)], dim=1)
