"""Tokens that stand far out from all others, wherever in a text they are.

The first token of a text is left out by its place. Delimiters further on can become sinks of
attention too (Sun et al. 2024, section 2.2): one such state outweighs thousands of ordinary ones
in a variance, and says nothing of the text.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Rows that a stream's usual size is taken from: the first that are seen.
REFERENCE_ROWS = 512


class SinkFilter:
    """Tells one layer's ordinary tokens from sinks, by their distance from the usual state.

    ratio: a token stands apart when it is this many times further out than the median token.
    limit: that distance. left_out: tokens that stood apart
    so far, as whoever asks counts them.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.centre: Tensor | None = None
        self.limit = float("inf")
        self.left_out = 0

    def ordinary(self, rows: Tensor) -> Tensor:
        """Which of `rows` (count, width) are no sinks; bool (count,)."""
        if not len(rows):
            return torch.ones(0, dtype=torch.bool, device=rows.device)
        if self.centre is None:
            # Medians, for means are what sinks distort.
            first = rows[:REFERENCE_ROWS].float()
            self.centre = first.median(dim=0).values
            usual = float((first - self.centre).norm(dim=1).median())
            self.limit = self.ratio * usual if usual > 0 else float("inf")
        ordinary: Tensor = (rows.float() - self.centre).norm(dim=1) <= self.limit
        return ordinary

    def state(self) -> dict[str, object]:
        """For a checkpoint: a centre and two numbers."""
        return {"centre": self.centre, "limit": self.limit, "left_out": self.left_out}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what `state` returned."""
        self.__dict__.update(state)
