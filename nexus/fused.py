"""Linear layers that read the same input, as one matrix; and adapters in that same shape.

An adapter is two thin matrices next to the backbone's, or (small backbone) a merged copy of its
weights. Either way no weight of the backbone is ever written to: to switch is to name another
adapter, and the rows of a batch may have different ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from nexus.adapters import LowRank


class Product(Protocol):
    """Multiplies by a frozen matrix. `shape`: (out, in)."""

    shape: tuple[int, int]

    def write(self, x: Tensor, out: Tensor, *, adds: bool) -> None:
        """Write the product of x (tokens, in) to `out` (tokens, out), or add it there."""
        ...


class FloatProduct:
    """By a matrix in floating point, given transposed: (in, out).

    Contiguous like that, a product with few rows takes some two thirds of the time that it takes
    with the matrix as a linear layer has it.
    """

    def __init__(self, transposed: Tensor) -> None:
        self.shape = (transposed.shape[1], transposed.shape[0])
        self.transposed = transposed

    def write(self, x: Tensor, out: Tensor, *, adds: bool) -> None:
        if adds:
            out.addmm_(x, self.transposed)
        else:
            torch.mm(x, self.transposed, out=out)


@dataclass(frozen=True)
class FusedLinear:
    """Modules that share their input, as one.

    index: its place among the model's. parts: each module's name and how many outputs are its own.
    """

    index: int
    product: Product
    bias: Tensor | None
    parts: Sequence[tuple[str, int]]

    @property
    def outputs(self) -> int:
        return self.product.shape[0]

    def write(self, x: Tensor, out: Tensor, *, adds: bool) -> None:
        """Write the layer's output for x (tokens, in) to `out` (tokens, out), or add it there."""
        self.product.write(x, out, adds=adds)
        if self.bias is not None:
            out.add_(self.bias)


@dataclass(frozen=True)
class FusedUpdate:
    """An adapter's updates of one `FusedLinear`.

    down: (in, ranks), all parts side by side. ups: for each part that is adapted, its columns
    of the output, its columns of `down`, and its factor (rank, columns).
    """

    down: Tensor
    ups: Sequence[tuple[slice, slice, Tensor]]

    def add(self, x: Tensor, out: Tensor) -> None:
        """Add to out (tokens, out), in place, what the adapter makes of x (tokens, in)."""
        within = torch.mm(x, self.down)  # (tokens, ranks)
        for columns, ranks, up in self.ups:
            out[:, columns].addmm_(within[:, ranks], up)


@dataclass(frozen=True)
class EmbeddingUpdate:
    """An adapter's update of the embedding. rows: (vocabulary, rank). up: (rank, width)."""

    rows: Tensor
    up: Tensor

    def add(self, ids: Tensor, out: Tensor) -> None:
        """Add to out (tokens, width), in place, what the adapter makes of ids (tokens,)."""
        out.addmm_(self.rows[ids], self.up)


@dataclass(frozen=True)
class Weights:
    """The matrices of a model. embedding: (vocabulary, width). linears: each at its index."""

    embedding: Tensor
    linears: Sequence[FusedLinear]


@dataclass(frozen=True)
class Updates:
    """An adapter next to the matrices. linears: by the index of the `FusedLinear`."""

    embedding: EmbeddingUpdate | None
    linears: Sequence[FusedUpdate | None]


def fused_updates(
    base: Weights, updates: Mapping[str, LowRank], embedding: str, dtype: torch.dtype
) -> Updates:
    """The adapter's updates by module name, in the shape of `base`.

    embedding: the name of the embedding. Raises ValueError where one is of another model.
    """
    device = base.embedding.device
    parts = {part for linear in base.linears for part, _ in linear.parts}
    for module in sorted(updates.keys() - parts - {embedding}):
        updates[module].check(module, None)
    of_embedding = None
    if embedding in updates:
        updates[embedding].check(embedding, tuple(base.embedding.shape))
        a, b = used_ranks(updates[embedding], device, dtype)
        if len(a):
            of_embedding = EmbeddingUpdate(a.t().contiguous(), b.t().contiguous())
    return Updates(
        of_embedding, [fused_update(linear, updates, device, dtype) for linear in base.linears]
    )


@torch.inference_mode()
def merged_weights(base: Weights, updates: Updates) -> Weights:
    """Copies of the matrices with the updates in them; what has no update is not copied."""
    embedding = base.embedding
    if (of_embedding := updates.embedding) is not None:
        embedding = torch.addmm(embedding, of_embedding.rows, of_embedding.up)
    pairs = zip(base.linears, updates.linears, strict=True)
    return Weights(embedding, [_merge_update(linear, update) for linear, update in pairs])


def _merge_update(linear: FusedLinear, update: FusedUpdate | None) -> FusedLinear:
    if update is None:
        return linear
    if not isinstance(linear.product, FloatProduct):
        raise TypeError("an adapter is merged into floating point and nothing else")
    transposed = linear.product.transposed.clone(memory_format=torch.contiguous_format)
    for columns, ranks, up in update.ups:
        transposed[:, columns].addmm_(update.down[:, ranks], up)
    return replace(linear, product=FloatProduct(transposed))


def fused_update(
    linear: FusedLinear,
    updates: Mapping[str, LowRank],
    device: torch.device,
    dtype: torch.dtype,
) -> FusedUpdate | None:
    """What the adapter does to this layer; None where it does nothing."""
    downs: list[Tensor] = []
    ups: list[tuple[slice, slice, Tensor]] = []
    column = rank = 0
    for name, outputs in linear.parts:
        if name in updates:
            updates[name].check(name, (outputs, linear.product.shape[1]))
            a, b = used_ranks(updates[name], device, dtype)
            if len(a):
                downs.append(a)
                columns = slice(column, column + outputs)
                ups.append((columns, slice(rank, rank + len(a)), b.t().contiguous()))
                rank += len(a)
        column += outputs
    return FusedUpdate(torch.cat(downs).t(), ups) if downs else None


def used_ranks(update: LowRank, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A (ranks, in) and B (out, ranks) with the scaling in it, without the ranks that are zero.

    Adapters ship with one rank everywhere, filled up with zeros, which change nothing.
    """
    used = (update.A != 0).any(dim=1) & (update.B != 0).any(dim=0)
    b = update.B[:, used].to(device, dtype) * update.scaling
    return update.A[used].to(device, dtype), b
