"""Profiles as read from disk, teacher by teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modalities.json_files import read_json

Array = np.ndarray
# Below this a teacher is as good as certain, and relative rises would be of rounding.
LEAST_NLL = 1e-3


@dataclass(frozen=True)
class Subspace:
    """Directions of the residual stream at one key layer.

    basis: (hidden, k), orthonormal. mean: (hidden,). deviations: (k,), along each column.
    explained: share of variance it holds; asked: share that was asked for.
    massive: how many of the first columns are channels that stand apart.
    """

    basis: Array
    mean: Array
    deviations: Array
    explained: float
    asked: float
    massive: int


@dataclass(frozen=True)
class Profile:
    """What a teacher needs for one capability.

    nll: nats per answer token of the whole teacher. rises: by layer, what its removal adds.
    key: subspaces by layer.
    """

    teacher: str
    capability: str
    hidden_size: int
    nll: float
    rises: tuple[float, ...]
    key: Mapping[int, Subspace]

    @property
    def layers(self) -> int:
        return len(self.rises)

    def importance(self) -> Array:
        """Share of each layer in what removal of single layers costs; (layers,), sum 1.

        Costs are taken as log(1 + relative rise): removing the first block ruins almost any
        model, and must not make the others look idle.
        """
        costs = np.log1p(np.clip(self.relative_rises(), 0, None))
        if costs.sum() <= 0:
            return np.full(self.layers, 1 / self.layers)
        shares: Array = costs / costs.sum()
        return shares

    def relative_rises(self) -> Array:
        """Rises over the whole teacher's negative log-likelihood; (layers,)."""
        return np.array(self.rises, dtype=np.float64) / max(self.nll, LEAST_NLL)


def read_profile(directory: Path, teacher: str, capability: str = "") -> Profile:
    """The profile in `directory`, bases included."""
    summary = read_json(directory / "profile.json")
    asked = float(summary["reconstruction"]["explained_variance"])
    key = {}
    for layer in summary["key_layers"]:
        described = summary["layers"][str(layer)]
        with np.load(directory / f"layer_{layer}_basis.npz") as arrays:
            key[int(layer)] = Subspace(
                basis=arrays["basis"].astype(np.float64),
                mean=arrays["mean"].astype(np.float64),
                deviations=arrays["deviations"].astype(np.float64),
                explained=float(described["explained_variance"]),
                asked=asked,
                massive=len(described["massive_channels"]),
            )
    return Profile(
        teacher=teacher,
        capability=capability or summary["profile"].rpartition("/")[2],
        hidden_size=int(summary["hidden_size"]),
        nll=float(summary["ablation"]["nll"]),
        rises=tuple(summary["ablation"]["nll_rise"]),
        key=key,
    )
