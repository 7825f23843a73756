"""How much of the variance of other text a basis explains: the honest side of a spectrum.

A rank that was read off the tokens a basis was made from is bounded by their number; on tokens
that it never saw, directions that fit only the sample explain nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from targets.profile.streaming_pca import Spectrum


class HeldoutVariance:
    """Second moments of text around the mean of `found`, along its first `rank` directions.

    Massive channels do not count, as they do not in the spectrum. Only `rank` + 1 sums are held.
    """

    def __init__(self, found: Spectrum, rank: int) -> None:
        self._mean = found.mean.float()
        self._directions = found.directions[:, :rank].float()  # (width, rank)
        self._massive = list(found.massive)
        self._along = torch.zeros(self._directions.shape[1]).double().to(self._mean.device)
        self._total = torch.zeros((), dtype=torch.float64, device=self._mean.device)
        self.rows = 0

    def add(self, rows: Tensor, weights: Tensor) -> None:
        """Take in `rows` (count, width), each counting `weights` (count,)."""
        centred = rows.float() - self._mean
        centred[:, self._massive] = 0
        self._along += (weights @ (centred @ self._directions).square()).double()
        self._total += (weights @ centred.square()).sum().double()
        self.rows += len(rows)

    def explained(self) -> Tensor:
        """Share of the variance that the first 1, 2, ... directions explain; float64 (rank,)."""
        if float(self._total) <= 0:
            return torch.ones_like(self._along)
        return (self._along.cumsum(0) / self._total).clamp(max=1.0)
