"""How much each attention head matters to the answers.

Expected absolute gradient of the loss with respect to a gate on each head (Michel, Levy, Neubig
2019, equation 2). Gradients through 4- and 8-bit weights are biased, so there heads are removed
instead. Heads that share keys and values are also taken group by group, and after the least
important groups are removed the rest is measured again: importance shifts to what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from opened_models.batches import Batch
from opened_models.losses import sample_loss
from opened_models.streaming import recompute
from opened_models.structure import Structure
from opened_models.surgery import gated_heads, resume_at
from targets.profile.ablation import PrefixedBatch
from targets.profile.checkpoints import Once

Group = tuple[int, int]  # block, group


@dataclass(frozen=True)
class HeadImportance:
    """heads, groups: per block, nats per answer token. removed: least important groups, first.

    heads_after: importance of what is left once `removed` is gone; 0 where removed.
    """

    method: str
    heads: tuple[tuple[float, ...], ...]
    groups: tuple[tuple[float, ...], ...]
    removed: tuple[Group, ...]
    heads_after: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Importance:
    """Summed over samples: per block (heads,) and (groups,), float64."""

    heads: list[Tensor]
    groups: list[Tensor]

    @classmethod
    def none(cls, structure: Structure) -> Importance:
        return cls(
            [torch.zeros(block.heads, dtype=torch.float64) for block in structure.blocks],
            [torch.zeros(block.groups, dtype=torch.float64) for block in structure.blocks],
        )


def head_importance(
    structure: Structure,
    pilot: Sequence[Batch],
    once: Once,
    *,
    by_gradient: bool,
    removed_share: float = 0.25,
) -> HeadImportance:
    """Importance of every head on the pilot batches, then again without the least of the groups."""
    of_batch = _by_gradient if by_gradient else _by_ablation

    def measure(name: str, gone: Sequence[Group]) -> Importance:
        count = sum(len(batch.samples) for batch in pilot)
        total = Importance.none(structure)
        for number, batch in enumerate(pilot):
            of_one = once(f"{name} {number}", partial(of_batch, structure, batch, gone))
            for sums, more in ((total.heads, of_one.heads), (total.groups, of_one.groups)):
                for of_block, addend in zip(sums, more, strict=True):
                    of_block += addend / count
        return total

    first = measure("heads", ())
    ranked = sorted(
        (float(value), layer, group)
        for layer, values in enumerate(first.groups)
        for group, value in enumerate(values)
    )
    gone = tuple((layer, group) for _, layer, group in ranked[: int(removed_share * len(ranked))])
    second = measure("heads left", gone) if gone else first
    return HeadImportance(
        method="gate gradient" if by_gradient else "ablation",
        heads=_lists(first.heads),
        groups=_lists(first.groups),
        removed=gone,
        heads_after=_lists(second.heads),
    )


def _lists(values: Iterable[Tensor]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in layer) for layer in values)


def _open_gates(structure: Structure, rows: int, gone: Sequence[Group]) -> dict[int, Tensor]:
    """Gates of 1, and 0 for the heads of groups that are gone; (rows, heads) per block."""
    gates = {}
    for block in structure.blocks:
        gate = torch.ones(rows, block.heads, device=structure.model.device)
        for layer, group in gone:
            if layer == block.index:
                of_groups = gate.unflatten(1, (block.groups, -1))  # type: ignore[no-untyped-call]
                of_groups[:, group] = 0
        gates[block.index] = gate
    return gates


def _by_gradient(structure: Structure, batch: Batch, gone: Sequence[Group]) -> Importance:
    found = Importance.none(structure)
    open_gates = _open_gates(structure, len(batch.samples), gone)
    gates = {layer: gate.requires_grad_() for layer, gate in open_gates.items()}
    modules = [block.module for block in structure.blocks]
    with torch.enable_grad(), gated_heads(gates, structure), recompute(modules):
        # A gate of its own for every row: one backward pass gives each sample's gradient.
        loss = sample_loss(structure, batch).sum()
        # Blocks that nothing is read from (some models leave a vision tower early) get 0.
        gradients = torch.autograd.grad(
            loss, list(gates.values()), allow_unused=True, materialize_grads=True
        )
    for block, gradient in zip(structure.blocks, gradients, strict=True):
        of_rows = gradient.double().cpu() * gates[block.index].detach().cpu()  # (rows, heads)
        found.heads[block.index] += of_rows.abs().sum(dim=0)
        shared = of_rows.unflatten(1, (block.groups, -1))  # type: ignore[no-untyped-call]
        found.groups[block.index] += shared.sum(dim=2).abs().sum(dim=0)
    return found


@torch.inference_mode()
def _by_ablation(structure: Structure, batch: Batch, gone: Sequence[Group]) -> Importance:
    found = Importance.none(structure)
    gates = _open_gates(structure, 1, gone)
    with gated_heads(gates, structure):
        prefixed = PrefixedBatch(structure, batch)
    for block in structure.blocks:
        for shares, width in ((found.heads, 1), (found.groups, block.heads // block.groups)):
            if shares is found.groups and width == 1:  # no heads share: every head is its group
                shares[block.index] += found.heads[block.index]
                continue
            for index in range(block.heads // width):
                places = slice(index * width, (index + 1) * width)
                shares[block.index][index] += _rise_without(prefixed, gates, block.index, places)
    return found


def _rise_without(
    prefixed: PrefixedBatch, gates: Mapping[int, Tensor], layer: int, places: slice
) -> float:
    """Sum over samples of the absolute change of the loss without these heads."""
    gate = gates[layer].clone()
    if not bool(gate[:, places].any()):
        return 0.0
    gate[:, places] = 0
    structure = prefixed.structure
    with (
        gated_heads({**gates, layer: gate}, structure),
        resume_at(layer, prefixed.kept, (), structure),
    ):
        changed = sample_loss(structure, prefixed.batch)
    return float((changed - prefixed.whole).abs().sum())
