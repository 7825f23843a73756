"""How the subspaces of several capabilities of one teacher lie to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from targets.architecture.profiles import Array, Subspace

# Mean squared canonical correlation from which on one subspace counts as part of the other.
NESTED = 0.95


def union_rank(subspaces: Sequence[Subspace]) -> int:
    """Least number of directions that serve all subspaces of one layer as asked.

    Directions are those of the variance of all together, each subspace weighing the same. They
    serve one when they hold the share of its variance that its profile asked for; for a single
    subspace that is its own rank.
    """
    scaled = [_scale(subspace) for subspace in subspaces]
    directions = np.linalg.svd(np.concatenate(scaled, axis=1), full_matrices=False)[0]
    served = 1
    for subspace, columns in zip(subspaces, scaled, strict=True):
        held = np.cumsum(((directions.T @ columns) ** 2).sum(axis=1))  # (directions,)
        needed = min(1.0, subspace.asked / max(subspace.explained, 1e-12))
        enough = held >= needed * float((columns**2).sum()) - 1e-9
        served = max(served, int(enough.argmax()) + 1 if enough.any() else len(held))
    return served


def canonical_correlations(first: Subspace, second: Subspace) -> Array:
    """Cosines of the principal angles of two subspaces of one stream, largest first."""
    cosines = np.linalg.svd(first.basis.T @ second.basis, compute_uv=False)
    return np.clip(cosines, 0.0, 1.0)


def is_nested(first: Subspace, second: Subspace) -> bool:
    """Whether the smaller subspace lies in the larger, by the mean of their squared cosines."""
    return bool((canonical_correlations(first, second) ** 2).mean() >= NESTED)


def _scale(subspace: Subspace) -> Array:
    """Columns as long as their deviations, of total variance 1; (hidden, k)."""
    deviations = subspace.deviations.copy()
    ordinary = deviations[subspace.massive :]
    # A massive channel needs its direction, but its size must not outweigh all others.
    deviations[: subspace.massive] = ordinary.max() if len(ordinary) else 1.0
    total = float((deviations**2).sum())
    if total <= 0:
        return np.zeros_like(subspace.basis)
    scaled: Array = subspace.basis * (deviations / total**0.5)
    return scaled
