"""Stage 1: which blocks carry the capability, by removing them.

A block removed adds nothing to the residual stream. What is measured is the rise of the loss (the
negative log-likelihood of the teacher's own answers; for encoders see `losses`), and for the worst
blocks the fall of the metric under generation. Scores of single blocks do not add up (two blocks
may do the same), so after the first choice blocks are removed on top of those already chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from opened_models.batches import Batch
from opened_models.losses import sample_loss
from opened_models.structure import Structure
from opened_models.surgery import Pass, resume_at
from targets.profile.checkpoints import Once

# Mean metric over the pilot samples with these blocks removed.
Measure = Callable[[Collection[int]], float]


@dataclass(frozen=True)
class Ablation:
    """nll: loss of the whole teacher, see `losses`. rises: by block, of that block alone.

    joint_rises: in the order of choice, with all blocks chosen before it removed too.
    metric: of the whole teacher; metrics: by block, where it was removed under generation.
    higher_is_better: the metric's direction.
    """

    nll: float
    rises: tuple[float, ...]
    order: tuple[int, ...]
    joint_rises: tuple[float, ...]
    metric: float
    metrics: dict[int, float]
    higher_is_better: bool
    key_layers: tuple[int, ...] = ()

    def metric_drop(self, layer: int) -> float | None:
        """By what share of itself the metric gets worse without this block.

        None where it was not measured, or where the whole teacher scores nothing.
        """
        if layer not in self.metrics or self.metric <= 0:
            return None
        fall = self.metric - self.metrics[layer]
        return (fall if self.higher_is_better else -fall) / self.metric


class PrefixedBatch:
    """A batch with what every block does in the model without `gone`, so that prefixes run once.

    Removing block L changes nothing below it. Holds (blocks, rows, tokens, hidden) in memory for
    as long as the batch is looked at, and never elsewhere.
    """

    def __init__(self, structure: Structure, batch: Batch, gone: Collection[int] = ()) -> None:
        self.structure = structure
        self.batch = batch
        self.gone = gone
        self.kept = Pass()
        with self.kept.kept(structure):
            self.whole = sample_loss(structure, batch)
        if gone:
            below, self.kept = self.kept, Pass()
            with resume_at(min(gone), below, gone, structure), self.kept.kept(structure):
                self.whole = sample_loss(structure, batch)

    def without(self, indices: Collection[int]) -> Tensor:
        """Each row's loss without these blocks either, see `losses`; float64 (rows,)."""
        with resume_at(min(indices), self.kept, {*indices, *self.gone}, self.structure):
            return sample_loss(self.structure, self.batch)


@torch.inference_mode()
def ablate(
    structure: Structure,
    pilot: Sequence[Batch],
    measure: Measure,
    *,
    budget: int,
    higher_is_better: bool,
    key_layer_drop: float,
    decodes: int,
    once: Once,
) -> Ablation:
    """Remove blocks singly, then greedily together, then the worst ones under generation.

    pilot: the teacher's own answers to the pilot samples. budget: most key layers.
    """
    rises = _loss_rises(structure, pilot, budget, once)
    layers = range(len(structure.blocks))
    largest = sorted(layers, key=lambda layer: -rises.single[layer])[:decodes]
    metric = measure(())
    # Where the whole teacher scores nothing, there is nothing for generation to lose.
    decoded = sorted({*largest, *rises.order}) if metric > 0 else []
    found = Ablation(
        nll=rises.whole,
        rises=tuple(rises.single),
        order=tuple(rises.order),
        joint_rises=tuple(rises.joint),
        metric=metric,
        metrics={
            layer: once(f"metric without {layer}", partial(measure, (layer,))) for layer in decoded
        },
        higher_is_better=higher_is_better,
    )
    return replace(found, key_layers=_key_layers(found, key_layer_drop))


@dataclass(frozen=True)
class _Rises:
    """Of the loss: of the whole teacher, and what is added without blocks."""

    whole: float
    single: list[float]
    order: list[int]
    joint: list[float]


def _loss_rises(structure: Structure, pilot: Sequence[Batch], budget: int, once: Once) -> _Rises:
    layers = range(len(structure.blocks))
    whole, *losses = once("losses without one", lambda: _losses(structure, pilot, (), layers))
    single = [loss - whole for loss in losses]
    order = [max(layers, key=lambda layer: single[layer])]
    joint = [single[order[0]]]
    while len(order) < min(budget, len(layers)):
        rest = [layer for layer in layers if layer not in order]
        _, *losses = once(
            f"losses without {len(order) + 1}", partial(_losses, structure, pilot, order, rest)
        )
        worst = max(range(len(rest)), key=lambda place: losses[place])
        order.append(rest[worst])
        joint.append(losses[worst] - whole)
    return _Rises(whole, single, order, joint)


def _losses(
    structure: Structure, pilot: Sequence[Batch], gone: Collection[int], layers: Sequence[int]
) -> list[float]:
    """Mean loss without `gone`, and then without each of `layers` as well; a batch at a time."""
    sums = [0.0] * (1 + len(layers))
    for batch in pilot:
        prefixed = PrefixedBatch(structure, batch, gone)
        sums[0] += float(prefixed.whole.sum())
        for place, layer in enumerate(layers, start=1):
            sums[place] += float(prefixed.without((layer,)).sum())
    return [total / sum(len(batch.samples) for batch in pilot) for total in sums]


def _key_layers(found: Ablation, key_layer_drop: float) -> tuple[int, ...]:
    """The first choice, and of the others those without which the metric falls enough.

    Where the metric cannot tell (the teacher scores nothing), the same relative rise of the
    negative log-likelihood does.
    """
    first = found.order[0]
    chosen = {first}
    for layer in found.order[1:]:
        drop = found.metric_drop(layer)
        if drop is None:
            decisive = found.rises[layer] > key_layer_drop * found.nll
        else:
            decisive = drop > key_layer_drop
        if decisive:
            chosen.add(layer)
    return tuple(sorted(chosen))
