"""Exact principal components of a stream that is never kept.

Only sums are held: weights, weighted sums and the weighted Gram matrix around a fixed shift (the
first block's mean). Blocks are multiplied in float32, summed in float64; sums of shards merge.
Unlike an incremental SVD nothing is truncated on the way (Ross et al. 2008 truncates at each step).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Rows multiplied at once in float32: few enough that rounding stays far below the data's noise.
BLOCK_ROWS = 4096
# From this width on only the leading directions are computed.
WIDE = 4096


class MomentSums:
    """First and second weighted moments of vectors of one width, around a shift.

    Memory: one (width, width) matrix in float64, whatever the length of the stream.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.width = width
        self.rows = 0
        self.weight = 0.0
        self.shift: Tensor | None = None
        self.first = torch.zeros(width, dtype=torch.float64, device=device)
        self.second = torch.zeros(width, width, dtype=torch.float64, device=device)

    def add(self, rows: Tensor, weights: Tensor | None = None) -> None:
        """Take in `rows` (count, width); `weights` (count,), 1 each where not given."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows of shape {tuple(rows.shape)}; expected (count, {self.width})")
        for start in range(0, rows.shape[0], BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            if weights is None:
                weight = torch.ones(block.shape[0], dtype=torch.float32, device=block.device)
            else:
                weight = weights[start : start + BLOCK_ROWS].float()
            self._add_block(block, weight)

    def _add_block(self, block: Tensor, weight: Tensor) -> None:
        if self.shift is None:
            # Without a shift a large mean eats the digits of float32 that hold the variance.
            # The shift itself is a float32 number, so that subtracting it rounds once only.
            self.shift = block.double().mean(dim=0).float().double()
        exact = block if block.dtype == torch.float64 else block.float()
        centred = (exact - self.shift.to(exact.dtype)).float()
        weighted = centred * weight[:, None]
        self.rows += block.shape[0]
        self.weight += float(weight.double().sum())
        self.first += weighted.sum(dim=0).double()
        self.second += (weighted.T @ centred).double()

    def _reshift(self, shift: Tensor) -> None:
        """Move the sums to another shift: with e = old - new, S' = S + s e' + e s' + w e e'."""
        assert self.shift is not None
        step = self.shift - shift
        if self.weight and bool(step.any()):
            cross = torch.outer(self.first, step)
            self.second += cross + cross.T + self.weight * torch.outer(step, step)
            self.first = self.first + self.weight * step
        self.shift = shift

    def merged(self, other: MomentSums) -> MomentSums:
        """The sums of both streams together; neither is changed."""
        if other.width != self.width:
            raise ValueError(f"widths {self.width} and {other.width} cannot be merged")
        if self.shift is None or other.shift is None:
            return (other if self.shift is None else self)._copy()
        total, moved = self._copy(), other._copy()
        moved._reshift(self.shift)
        total.rows += moved.rows
        total.weight += moved.weight
        total.first = total.first + moved.first
        total.second = total.second + moved.second
        return total

    def _copy(self) -> MomentSums:
        copy = MomentSums(self.width, self.first.device)
        copy.rows, copy.weight, copy.shift = self.rows, self.weight, self.shift
        copy.first, copy.second = self.first.clone(), self.second.clone()
        return copy

    def mean(self) -> Tensor:
        """Weighted mean, float64 (width,)."""
        if self.shift is None or self.weight <= 0:
            raise ValueError("no rows were taken in; a mean needs at least one")
        return self.shift + self.first / self.weight

    def covariance(self, around: Tensor | None = None) -> Tensor:
        """Weighted second moment around `around` (default: the mean), float64 (width, width)."""
        mean = self.mean()
        offset = self.first / self.weight
        covariance = self.second / self.weight - torch.outer(offset, offset)
        if around is not None:
            away = mean - around.to(mean)
            covariance = covariance + torch.outer(away, away)
        return (covariance + covariance.T) / 2


@dataclass(frozen=True)
class Spectrum:
    """Mean, directions and variances, largest first.

    directions: float64 (width, count), orthonormal. variances: (count,). total: all variance of
    the channels that are not massive. massive: channels that stand apart; each is kept whole, as
    a unit direction of its own, and none of their variance counts in `total`.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    total: float
    massive: tuple[int, ...]
    massive_variances: Tensor
    rows: int
    weight: float

    def explained(self) -> Tensor:
        """Share of `total` that the first 1, 2, ... directions explain; float64 (count,)."""
        if self.total <= 0:
            return torch.ones_like(self.variances)
        return (self.variances.cumsum(0) / self.total).clamp(max=1.0)

    def rank(self, explained_variance: float) -> int:
        """Least number of directions that explain this share; massive channels not counted."""
        if self.total <= 0:
            return 1
        reached = self.explained() >= explained_variance - 1e-12
        if not bool(reached.any()):
            return int(self.variances.numel())
        return int(reached.int().argmax()) + 1

    def basis(self, rank: int) -> Tensor:
        """Orthonormal (width, massive + rank): the massive channels first, then directions."""
        width = self.mean.numel()
        units = torch.zeros(width, len(self.massive), dtype=torch.float64)
        for column, channel in enumerate(self.massive):
            units[channel, column] = 1.0
        return torch.cat([units, self.directions[:, :rank].cpu()], dim=1)

    def deviations(self, rank: int) -> Tensor:
        """Standard deviation along each column of `basis(rank)`, float64."""
        variances = torch.cat([self.massive_variances.cpu(), self.variances[:rank].cpu()])
        return variances.clamp(min=0).sqrt()

    def explained_elsewhere(self, sums: MomentSums, rank: int) -> float:
        """Share of other rows' variance, around this mean, that this basis explains."""
        covariance = sums.covariance(around=self.mean)
        variances = covariance.diagonal().clone()
        variances[list(self.massive)] = 0
        total = float(variances.sum())
        if total <= 0:
            return 1.0
        directions = self.directions[:, :rank]
        kept = float((directions * (covariance @ directions)).sum())
        return min(kept / total, 1.0)


def spectrum(
    sums: MomentSums, massive_ratio: float | None = None, at_least: float = 1.0
) -> Spectrum:
    """Principal components of what `sums` took in.

    massive_ratio: a channel whose standard deviation exceeds the median channel's by this factor
    stands apart (Sun et al. 2024, massive activations). None: no channel does.
    at_least: for widths of WIDE and more, the share of variance that must be reached; narrower
    streams get all their directions.
    """
    covariance = sums.covariance()
    deviations = covariance.diagonal().clamp(min=0).sqrt()
    massive: tuple[int, ...] = ()
    if massive_ratio is not None:
        limit = massive_ratio * float(deviations.median())
        if limit > 0:
            massive = tuple((deviations > limit).nonzero().flatten().tolist())
    massive_variances = covariance.diagonal()[list(massive)].clone()
    others = [channel for channel in range(sums.width) if channel not in set(massive)]
    covariance = covariance[others][:, others]
    total = float(covariance.diagonal().sum())
    if sums.width >= WIDE:
        values, vectors = _leading_until(covariance, total * at_least)
    else:
        values, vectors = _all_directions(covariance)
    directions = torch.zeros(sums.width, values.numel(), dtype=torch.float64, device=values.device)
    directions[others] = _signed(vectors)
    return Spectrum(
        mean=sums.mean(),
        directions=directions,
        variances=values.clamp(min=0),
        total=max(total, 0.0),
        massive=massive,
        massive_variances=massive_variances,
        rows=sums.rows,
        weight=sums.weight,
    )


def leading_directions(
    covariance: Tensor, count: int, iterations: int = 6, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues and their vectors, by block subspace iteration.

    Halko, Martinsson, Tropp 2011, algorithm 4.4 with 32 spare directions and a Rayleigh-Ritz step
    at the end; products in float32, the small problem in float64. For wide matrices this costs a
    tenth of a whole eigendecomposition.
    """
    width = covariance.shape[0]
    block = min(width, count + 32)
    if block * 3 >= width:
        values, vectors = _all_directions(covariance)
        return values[:count], vectors[:, :count]
    generator = torch.Generator().manual_seed(seed)
    matrix = covariance.float()
    probe = torch.randn(width, block, generator=generator).to(matrix.device)
    for _ in range(iterations):
        probe = torch.linalg.qr(matrix @ probe).Q
    image = (matrix @ probe).double()
    values, rotation = torch.linalg.eigh(probe.double().T @ image)
    vectors = probe.double() @ rotation.flip(1)[:, :count]
    return values.flip(0)[:count], vectors


def _all_directions(covariance: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(covariance)
    return values.flip(0), vectors.flip(1)


def _leading_until(covariance: Tensor, enough: float) -> tuple[Tensor, Tensor]:
    count = covariance.shape[0] // 16
    while True:
        values, vectors = leading_directions(covariance, count)
        if float(values.sum()) >= enough or values.numel() < count or count >= len(covariance):
            return values, vectors
        count *= 2


def _signed(vectors: Tensor) -> Tensor:
    """Each column with its largest entry positive, so that equal inputs give equal bytes."""
    largest = vectors.abs().argmax(dim=0)
    signs = vectors[largest, torch.arange(vectors.shape[1], device=vectors.device)].sign()
    return vectors * torch.where(signs == 0, torch.ones_like(signs), signs)
