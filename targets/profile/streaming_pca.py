"""Principal components from the sums of a stream: directions, variances, and how many it takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from targets.profile.moments import MomentSums, SketchedMoments

# From this width on only the leading directions are computed.
WIDE = 4096
# Directions iterated next to those that are wanted, and how often (Halko et al. 2011, section 4.5).
SPARE_DIRECTIONS = 32
ITERATIONS = 6


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


def spectrum(
    sums: MomentSums, massive_ratio: float | None = None, at_least: float = 1.0
) -> Spectrum:
    """Principal components of what `sums` took in.

    massive_ratio: a channel whose standard deviation exceeds the median channel's by this factor
    stands apart (Sun et al. 2024, massive activations). None: no channel does.
    at_least: for widths of WIDE and more, the share of variance that must be reached; narrower
    streams get all their directions, and a sketch those that it holds.
    """
    mean, of_channels = sums.mean(), sums.variances()
    massive = _massive(of_channels, massive_ratio)
    others = [channel for channel in range(sums.width) if channel not in set(massive)]
    total = float(of_channels[others].sum())
    if isinstance(sums, SketchedMoments):
        vectors, roots, _ = torch.linalg.svd(sums.factor()[others], full_matrices=False)
        values = roots.square()
    else:
        covariance = sums.covariance()
        if massive:
            covariance = covariance[others][:, others]
        if sums.width >= WIDE:
            values, vectors = _leading_until(covariance, total * at_least)
        else:
            values, vectors = _all_directions(covariance)
    directions = torch.zeros(sums.width, values.numel(), dtype=torch.float64, device=values.device)
    directions[others] = _fix_signs(vectors)
    return Spectrum(
        mean=mean,
        directions=directions,
        variances=values.clamp(min=0),
        total=total,
        massive=massive,
        massive_variances=of_channels[list(massive)],
        rows=sums.rows,
        weight=sums.weight,
    )


def _massive(variances: Tensor, ratio: float | None) -> tuple[int, ...]:
    if ratio is None:
        return ()
    deviations = variances.sqrt()
    limit = ratio * float(deviations.median())
    return tuple((deviations > limit).nonzero().flatten().tolist()) if limit > 0 else ()


def leading_directions(
    covariance: Tensor, count: int, iterations: int = ITERATIONS, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues and their vectors, by block subspace iteration.

    Halko, Martinsson, Tropp 2011, algorithm 4.4, and a Rayleigh-Ritz step at the end; products in
    float32, the small problem in float64. For wide matrices this costs a tenth of a whole
    eigendecomposition.
    """
    width = covariance.shape[0]
    block = min(width, count + SPARE_DIRECTIONS)
    if block * 3 >= width:
        values, vectors = _all_directions(covariance)
        return values[:count], vectors[:, :count]
    generator = torch.Generator().manual_seed(seed)
    # Scaled, so that tiny variances do not vanish in float32.
    scale = max(float(covariance.diagonal().max()), torch.finfo(torch.float64).tiny)
    matrix = (covariance / scale).float()
    probe = torch.randn(width, block, generator=generator).to(matrix.device)
    for _ in range(iterations):
        probe = torch.linalg.qr(matrix @ probe).Q
    image = (matrix @ probe).double()
    values, rotation = torch.linalg.eigh(probe.double().T @ image)
    vectors = probe.double() @ rotation.flip(1)[:, :count]
    return values.flip(0)[:count] * scale, vectors


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


def _fix_signs(vectors: Tensor) -> Tensor:
    """Each column with its largest entry positive, so that equal inputs give equal bytes."""
    largest = vectors.abs().argmax(dim=0)
    signs = vectors[largest, torch.arange(vectors.shape[1], device=vectors.device)].sign()
    return vectors * torch.where(signs == 0, torch.ones_like(signs), signs)
