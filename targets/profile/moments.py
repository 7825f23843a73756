"""Sums over a stream of vectors that is never kept, from which its covariance follows.

Only weights, weighted sums and weighted products around a fixed shift (the first block's mean) are
held. Blocks are multiplied in float32 and summed in float64; sums of shards merge, and a state
written down goes on where it stood. Unlike in an incremental SVD (Ross et al. 2008) nothing is
truncated on the way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from scipy.linalg.blas import ssyrk
from torch import Tensor

# Rows multiplied at once in float32: few enough that rounding stays far below the data's noise.
BLOCK_ROWS = 4096
# Strips in which the symmetric product is made; what lies below their diagonal is never computed.
STRIPS = 16
# The widest stream whose Gram matrix is kept whole: half a gigabyte for each layer.
WIDEST_GRAM = 8192

Sums = TypeVar("Sums", bound="MomentSums")
Part = tuple[slice, slice]


class MomentSums:
    """First and second weighted moments of vectors of one width, around a shift.

    Memory: one (width, width) matrix in float64, whatever the length of the stream.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.width = width
        self.rows = 0
        self.shift: Tensor | None = None
        self._weight = torch.zeros((), dtype=torch.float64, device=device)
        self._first = torch.zeros(width, dtype=torch.float64, device=device)
        self._second = torch.zeros(width, self._columns(), dtype=torch.float64, device=device)

    def _columns(self) -> int:
        return self.width

    @property
    def weight(self) -> float:
        """Sum of all weights."""
        return float(self._weight)

    def add(self, rows: Tensor, weights: Tensor | None = None) -> None:
        """Take in `rows` (count, width); `weights` (count,), none below 0, 1 each if not given."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows of shape {tuple(rows.shape)}; expected (count, {self.width})")
        if not len(rows):
            return
        if self.shift is None:
            # Without a shift a large mean eats the digits of float32 that hold the variance.
            # The shift itself is a float32 number, so that subtracting it rounds once only.
            self.shift = rows[:BLOCK_ROWS].double().mean(dim=0).float().double()
        shift = self.shift if rows.dtype == torch.float64 else self.shift.float()
        buffer = torch.empty(min(BLOCK_ROWS, len(rows)), self.width, device=rows.device)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            centred = buffer[: len(block)]
            torch.sub(block, shift, out=centred)
            if weights is None:
                self._weight += len(block)
                self._first += centred.sum(dim=0)
            else:
                weight = weights[start : start + BLOCK_ROWS].float()
                self._weight += weight.double().sum()
                self._first += weight @ centred
                centred *= weight.sqrt()[:, None]
            self._add_products(centred)
        self.rows += len(rows)

    def _add_products(self, scaled: Tensor) -> None:
        """Add what stands on and right of the diagonal; the rest is never read.

        scaled: centred rows times the root of their weight, float32 (count, width).
        """
        products = products_by_blas if scaled.device.type == "cpu" else products_by_strips
        for part, of_part in products(scaled):
            self._second[part] += of_part

    def _move(self, step: Tensor) -> None:
        """Move the products to another shift, by e = old - new: S' = S + s e' + e s' + w e e'."""
        cross = torch.outer(self._first + self._weight / 2 * step, step)
        self._second += cross + cross.T

    def merged(self: Sums, other: Sums) -> Sums:
        """The sums of both streams together; neither is changed."""
        if other.width != self.width:
            raise ValueError(f"widths {self.width} and {other.width} cannot be merged")
        if self.shift is None or other.shift is None:
            return copy.deepcopy(other if self.shift is None else self)
        total, moved = copy.deepcopy(self), copy.deepcopy(other)
        step = other.shift - self.shift
        if bool(step.any()):
            moved._move(step)
            moved._first += moved._weight * step
        total.rows += moved.rows
        for ours, theirs in zip(total._sums(), moved._sums(), strict=True):
            ours += theirs
        return total

    def _sums(self) -> tuple[Tensor, ...]:
        """What grows by addition alone once the shifts agree."""
        return self._weight, self._first, self._second

    def state(self) -> dict[str, Any]:
        """All that is held, for a checkpoint: sums, and no row of the stream."""
        return {"rows": self.rows, "shift": self.shift, "sums": self._sums()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.rows = int(state["rows"])
        shift = state["shift"]
        self.shift = None if shift is None else shift.to(self._first.device)
        for ours, theirs in zip(self._sums(), state["sums"], strict=True):
            ours.copy_(theirs)

    def mean(self) -> Tensor:
        """Weighted mean, float64 (width,)."""
        if self.shift is None or self.weight <= 0:
            raise ValueError("no rows were taken in; a mean needs at least one")
        if not bool(self._first.isfinite().all()):
            raise ValueError(
                "the residual stream holds values that are not finite: the teacher overflows in "
                "this precision. Open it with another `load`."
            )
        return self.shift + self._first / self._weight

    def variances(self) -> Tensor:
        """Weighted variance of each channel, float64 (width,), none below 0."""
        return self.covariance().diagonal().clamp(min=0)

    def covariance(self) -> Tensor:
        """Weighted covariance, float64 (width, width)."""
        self.mean()  # raises where there is none
        offset = self._first / self._weight
        upper = (self._second / self._weight).sub_(torch.outer(offset, offset)).triu_()
        covariance = upper + upper.T
        covariance.diagonal().mul_(0.5)
        return covariance


def products_by_blas(scaled: Tensor) -> Iterator[tuple[Part, Tensor]]:
    """`scaled.T @ scaled` on and right of the diagonal, in strips of rows, float32.

    BLAS makes half the products of a symmetric update; torch does not offer it.
    """
    whole = torch.from_numpy(ssyrk(1.0, scaled.numpy().T, lower=1).T)
    for part in _strips(scaled.shape[1]):
        yield part, whole[part]


def products_by_strips(scaled: Tensor) -> Iterator[tuple[Part, Tensor]]:
    """The same for any device, by a product for each strip."""
    for part in _strips(scaled.shape[1]):
        yield part, scaled[:, part[0]].T @ scaled[:, part[1]]


def _strips(width: int) -> Iterator[Part]:
    rows = max(128, -(-width // STRIPS))
    for start in range(0, width, rows):
        yield slice(start, start + rows), slice(start, None)


class SketchedMoments(MomentSums):
    """Moments of a stream too wide for its (width, width) products: those with a random probe.

    Holds S P for the products S and a fixed Gaussian probe P (width, size), and the diagonal of S.
    Both are linear in S, so that shards merge and shifts move as they do for the whole. Tropp,
    Yurtsever, Udell, Cevher 2017, "Fixed-rank approximation of a positive-semidefinite matrix from
    streaming data".
    """

    def __init__(
        self, width: int, device: torch.device | str = "cpu", size: int = 1024, seed: int = 0
    ) -> None:
        self.size = min(size, width)
        super().__init__(width, device)
        generator = torch.Generator().manual_seed(seed)
        self.probe = torch.randn(width, self.size, generator=generator).to(device)
        self._diagonal = torch.zeros(width, dtype=torch.float64, device=device)

    def _columns(self) -> int:
        return self.size

    def _sums(self) -> tuple[Tensor, ...]:
        return *super()._sums(), self._diagonal

    def _add_products(self, scaled: Tensor) -> None:
        self._second += scaled.T @ (scaled @ self.probe)
        self._diagonal += scaled.square().sum(dim=0)

    def _move(self, step: Tensor) -> None:
        probe = self.probe.double()
        along = self._first + self._weight * step
        self._second += torch.outer(along, step @ probe) + torch.outer(step, self._first @ probe)
        self._diagonal += (along + self._first) * step

    def variances(self) -> Tensor:
        self.mean()
        offset = self._first / self._weight
        return (self._diagonal / self._weight - offset.square()).clamp(min=0)

    def covariance(self) -> Tensor:
        raise TypeError(f"a sketch of width {self.width} has no covariance; take `factor`")

    def factor(self) -> Tensor:
        """F with F F' near the covariance C from below, float64 (width, size): Nystroem from C P.

        Tropp et al., algorithm 3: a small multiple of P is added, and taken off at the end.
        """
        self.mean()
        probe = self.probe.double()
        offset = self._first / self._weight
        image = self._second / self._weight - torch.outer(offset, offset @ probe)
        little = torch.finfo(torch.float32).eps * float(image.norm()) / self.size**0.5
        if little == 0:
            return torch.zeros_like(image)
        image += little * probe
        inner = probe.T @ image
        root = torch.linalg.cholesky((inner + inner.T) / 2)
        tall = torch.linalg.solve_triangular(root, image.T, upper=False).T
        vectors, values, _ = torch.linalg.svd(tall, full_matrices=False)
        factor: Tensor = vectors * (values.square() - little).clamp(min=0).sqrt()
        return factor


def moments_of_stream(width: int, device: torch.device | str) -> MomentSums:
    """Exact sums where a Gram matrix of this width is affordable, else a sketch of it."""
    return MomentSums(width, device) if width <= WIDEST_GRAM else SketchedMoments(width, device)
