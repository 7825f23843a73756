"""The acceptance check: does the capability live in the subspaces that were found?

The stream that leaves each key layer is replaced by its projection, mean + B B' (h - mean), with
the basis as it is stored, and the model generates on samples that no basis was made from. Where
the metric falls too far, more variance is asked for, until it holds or nothing is left to try.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from opened_models.structure import Structure
from opened_models.surgery import ChangeStream, changing, first_tokens
from targets.profile.checkpoints import Once
from targets.profile.sinks import SinkFilter
from targets.profile.streaming_pca import Spectrum

# Metric of each held-out sample, as the model that is running answers it.
Answered = Callable[[], Sequence[float]]

NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Basis:
    """The subspace of one layer as it is stored.

    matrix: float16 (hidden, k), orthonormal up to rounding. mean: float32 (hidden,).
    deviations: float32 (k,), standard deviation of the stream along each column.
    """

    matrix: Tensor
    mean: Tensor
    deviations: Tensor
    rank: int


def stored_basis(found: Spectrum, explained_variance: float) -> Basis:
    """The least basis that explains this share of variance."""
    rank = found.rank(explained_variance)
    return Basis(
        matrix=found.basis(rank).half(),
        mean=found.mean.float().cpu(),
        deviations=found.deviations(rank).float(),
        rank=rank,
    )


@dataclass(frozen=True)
class Trial:
    """One explained variance: ranks by layer, the metric, and the fall with its 95 % interval."""

    explained_variance: float
    ranks: dict[int, int]
    metric: float
    fall: float
    interval: tuple[float, float]
    holds: bool


@dataclass(frozen=True)
class Reconstruction:
    """Every trial, in order. holds: the last one did. samples: how many it was judged on."""

    metric: float
    samples: int
    trials: tuple[Trial, ...]

    @property
    def holds(self) -> bool:
        return self.trials[-1].holds

    @property
    def explained_variance(self) -> float:
        return self.trials[-1].explained_variance


def check_reconstruction(
    structure: Structure,
    spectra: Mapping[int, Spectrum],
    whole_scores: Sequence[float],
    answered: Answered,
    *,
    higher_is_better: bool,
    levels: Sequence[float],
    max_fall: float,
    sinks: Mapping[int, SinkFilter],
    once: Once,
) -> tuple[Reconstruction, dict[int, Basis]]:
    """Try each level of explained variance until the metric falls by less than `max_fall`.

    whole_scores: metric of each held-out sample without any change, in the order of `answered`.
    sinks: by key layer, the tokens that are not projected.
    Returns what was tried and the bases of the last trial.
    """
    sign = 1.0 if higher_is_better else -1.0
    trials: list[Trial] = []
    bases: dict[int, Basis] = {}
    for level in levels:
        bases = {layer: stored_basis(found, level) for layer, found in spectra.items()}
        ranks = {layer: basis.rank for layer, basis in bases.items()}
        with project_stream(structure, bases, sinks):
            scores = once(f"scores at {level}", lambda: list(answered()))
        falls = [sign * (w - s) for w, s in zip(whole_scores, scores, strict=True)]
        fall = sum(falls) / len(falls)
        trials.append(
            Trial(
                explained_variance=level,
                ranks=ranks,
                metric=sum(scores) / len(scores),
                fall=fall,
                interval=fall_interval(falls),
                holds=fall < max_fall,
            )
        )
        if trials[-1].holds:
            break
    mean = sum(whole_scores) / len(whole_scores)
    return Reconstruction(mean, len(whole_scores), tuple(trials)), bases


def fall_interval(falls: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences.

    Two imagined pairs, one of +1 and one of -1, are added (Bonett and Price 2012, adjusted Wald
    for paired proportions), so that samples that all agree do not pretend to certainty. Metrics
    without such bounds (bits per byte, errors per word) may differ by more: then the largest
    difference seen stands for 1.
    """
    widest = max(1.0, *(abs(fall) for fall in falls))
    padded = [*falls, widest, -widest]
    count = len(padded)
    mean = sum(padded) / count
    variance = sum((fall - mean) ** 2 for fall in padded) / count
    half = NORMAL_95 * math.sqrt(variance / count)
    return max(mean - half, -widest), min(mean + half, widest)


@contextmanager
def project_stream(
    structure: Structure, bases: Mapping[int, Basis], sinks: Mapping[int, SinkFilter]
) -> Iterator[None]:
    """Key layers hand on the projection of their stream.

    Sinks of attention stay as they are, for the bases were made without them: the first token, in
    a tower where it sees no other, and those that `sinks` tells apart.
    """
    device = structure.model.device
    first: list[Tensor | None] = [None]

    def note(columns: Tensor | None) -> None:
        first[0] = columns

    def projection(layer: int, basis: Basis) -> ChangeStream:
        first_alone = structure.tower_of(structure.blocks[layer]).first_alone
        matrix = basis.matrix.float().to(device)
        mean = basis.mean.to(device)

        def change(stream: Tensor) -> Tensor:
            kept = ((stream.float() - mean) @ matrix) @ matrix.T + mean
            kept = kept.to(stream.dtype)
            if first_alone and first[0] is not None:
                rows = torch.arange(stream.shape[0], device=device)
                kept[rows, first[0]] = stream[rows, first[0]]
            ordinary = sinks[layer].ordinary(stream.flatten(0, 1)).view(stream.shape[:2])
            return torch.where(ordinary[:, :, None], kept, stream)

        return change

    changes = {layer: projection(layer, basis) for layer, basis in bases.items()}
    with first_tokens(structure, note), changing(changes, structure):
        yield
