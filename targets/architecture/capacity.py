"""How much rank each layer of one adapter gets: what its capability needs there, under a cap.

What the cap takes from crowded layers goes to the others of the same adapter, the important ones
first; no adapter takes from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from targets.architecture.profiles import Array, Profile


@dataclass(frozen=True)
class Capacity:
    """Per layer of the student: intrinsic dimension, importance (sum 1), rank that it gets.

    lost: dimensions above the cap; given: how many of them other layers could take.
    """

    dimensions: tuple[int, ...]
    importance: tuple[float, ...]
    ranks: tuple[int, ...]
    lost: int
    given: int


def student_layer(layer: int, teacher_layers: int, student_layers: int) -> int:
    """The student's layer at the same relative depth as a teacher's; both from 0."""
    depth = round((layer + 1) / teacher_layers * student_layers)
    return min(max(depth - 1, 0), student_layers - 1)


def capacity(profiles: Sequence[Profile], layers: int, hidden_size: int, cap: int) -> Capacity:
    """Ranks for a student of `layers` blocks of width `hidden_size`.

    Several teachers of one capability must all fit, so the larger dimension counts.
    """
    depths = (np.arange(layers) + 1) / layers
    dimensions = np.zeros(layers)
    importance = np.zeros(layers)
    for profile in profiles:
        key = sorted(profile.key)
        at = [(layer + 1) / profile.layers for layer in key]
        # Between key layers the dimension changes steadily; beyond them it stays.
        ranks = np.interp(depths, at, [profile.key[layer].basis.shape[1] for layer in key])
        dimensions = np.maximum(dimensions, ranks)
        everywhere = (np.arange(profile.layers) + 1) / profile.layers
        shares = np.interp(depths, everywhere, profile.importance())
        importance += shares / shares.sum() / len(profiles)
    needed = np.minimum(np.ceil(dimensions - 1e-9), hidden_size).astype(int)
    limit = min(cap, hidden_size)
    ranks, given = redistribute(np.minimum(needed, limit), needed, importance, limit)
    return Capacity(
        dimensions=tuple(int(dimension) for dimension in needed),
        importance=tuple(round(float(share), 6) for share in importance),
        ranks=tuple(int(rank) for rank in ranks),
        lost=int(np.maximum(needed - limit, 0).sum()),
        given=given,
    )


def redistribute(base: Array, needed: Array, importance: Array, limit: int) -> tuple[Array, int]:
    """Hand what `needed` exceeds `base` by to layers below `limit`, by importance.

    Returns the ranks and how much could be handed on. Shares are rounded down, and what is left
    goes one by one to the most important layer that has room.
    """
    ranks = base.astype(int).copy()
    pool = int((needed - base).sum())
    given = 0
    while pool > 0 and (ranks < limit).any():
        room = ranks < limit
        weights = np.where(room, np.maximum(importance, 1e-9), 0.0)
        shares = np.floor(pool * weights / weights.sum()).astype(int)
        if not shares.any():
            shares[int(weights.argmax())] = 1
        shares = np.minimum(shares, limit - ranks)
        ranks += shares
        pool -= int(shares.sum())
        given += int(shares.sum())
    return ranks, given
