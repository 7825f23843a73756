"""Streaming PCA side by side with scikit-learn's IncrementalPCA: CPU seconds, variance lost.

    python benchmarks/pca.py [--width 1024] [--tokens 131072] [--pieces 256 1024 4096]

Both read the same batches in turn, on one thread each; the rival is also fed smaller pieces, for
its cost depends on them. The stream changes its domain half way, as text does. The error is the
share of variance, of what the exact components of the whole stream capture, that is lost.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from threadpoolctl import threadpool_limits
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from targets.profile.moments import MomentSums
from targets.profile.streaming_pca import leading_directions

# Tokens of one batch of the profile, and pieces of it that the rival is fed.
BATCH = 4096
PIECES = [256, 1024, 4096]


def stream(width: int, tokens: int) -> Iterator[Tensor]:
    """Batches (BATCH, width), float32: a slowly falling spectrum, another one after half."""
    generator = torch.Generator().manual_seed(0)
    scales = (torch.arange(width) + 1.0) ** -0.5
    mixes = [torch.linalg.qr(torch.randn(width, width, generator=generator)).Q for _ in range(2)]
    for start in range(0, tokens, BATCH):
        mix = mixes[start >= tokens // 2]
        yield torch.randn(BATCH, width, generator=generator) * scales @ mix + 3.0


class Streaming:
    """The profile's own: sums, then the leading directions."""

    name = f"streaming, {BATCH} rows"

    def __init__(self, width: int, components: int) -> None:
        self.sums = MomentSums(width)
        self.components = components

    def add(self, batch: Tensor) -> None:
        self.sums.add(batch)

    def directions(self) -> np.ndarray:
        """(components, width)."""
        return leading_directions(self.sums.covariance(), self.components)[1].T.numpy()


class Incremental:
    """scikit-learn's IncrementalPCA, fed `rows` at a time."""

    def __init__(self, components: int, rows: int) -> None:
        self.name = f"IncrementalPCA, {rows} rows"
        self.rows = rows
        self.rival = IncrementalPCA(n_components=components)

    def add(self, batch: Tensor) -> None:
        for piece in batch.split(self.rows):
            self.rival.partial_fit(piece.numpy())

    def directions(self) -> np.ndarray:
        """(components, width)."""
        return self.rival.components_


def exact_covariance(width: int, tokens: int) -> Tensor:
    """Covariance of the whole stream, float64 throughout."""
    total, second = torch.zeros(width).double(), torch.zeros(width, width).double()
    for batch in stream(width, tokens):
        rows = batch.double() - 3.0
        total += rows.sum(dim=0)
        second += rows.T @ rows
    return second / tokens - torch.outer(total, total) / tokens**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=131072)
    parser.add_argument("--pieces", type=int, nargs="+", default=PIECES, help="rows for the rival")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokens = max(1, given.tokens // BATCH) * BATCH
    print(f"width {given.width}, {given.components} components, {tokens} tokens")
    with threadpool_limits(1):
        methods = [
            Streaming(given.width, given.components),
            *(Incremental(given.components, rows) for rows in given.pieces),
        ]
        seconds = dict.fromkeys((method.name for method in methods), 0.0)
        found = {}
        for batch in stream(given.width, tokens):
            for method in methods:
                start = time.process_time()
                method.add(batch)
                seconds[method.name] += time.process_time() - start
        for method in methods:
            start = time.process_time()
            found[method.name] = torch.from_numpy(method.directions()).double()
            seconds[method.name] += time.process_time() - start
        covariance = exact_covariance(given.width, tokens)
        best = float(torch.linalg.eigvalsh(covariance)[-given.components :].sum())
    for method in methods:
        rows = found[method.name]  # (components, width)
        lost = 1 - float(((rows @ covariance) * rows).sum()) / best
        ratio = seconds[method.name] / seconds[methods[0].name]
        print(
            f"{method.name:>26}: {seconds[method.name]:8.2f} CPU-s ({ratio:5.1f} x), "
            f"{lost:.4%} of variance lost"
        )


if __name__ == "__main__":
    main()
