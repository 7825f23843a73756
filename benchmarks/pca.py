"""Streaming PCA side by side with scikit-learn's IncrementalPCA: CPU seconds, subspace error.

    python benchmarks/pca.py [--width 1024] [--components 256] [--tokens 16384]

The stream changes its domain half way, as text does. The error is the share of variance, of what
the exact components of the whole stream capture, that is lost.
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

sys.path.insert(0, str(Path(__file__).parents[1]))

from targets.profile.streaming_pca import MomentSums, leading_directions

BATCH = 1024


def stream(width: int, tokens: int) -> Iterator[torch.Tensor]:
    """Batches (BATCH, width), float32: a slowly falling spectrum, another one after half."""
    generator = torch.Generator().manual_seed(0)
    scales = (torch.arange(width) + 1.0) ** -0.5
    mixes = [torch.linalg.qr(torch.randn(width, width, generator=generator)).Q for _ in range(2)]
    for start in range(0, tokens, BATCH):
        mix = mixes[start >= tokens // 2]
        yield torch.randn(BATCH, width, generator=generator) * scales @ mix + 3.0


def ours(batches: list[torch.Tensor], width: int, components: int) -> np.ndarray:
    """The leading components, (components, width), from sums."""
    sums = MomentSums(width)
    for batch in batches:
        sums.add(batch)
    return leading_directions(sums.covariance(), components)[1].T.numpy()


def incremental(batches: list[torch.Tensor], width: int, components: int) -> np.ndarray:
    """The leading components by scikit-learn's IncrementalPCA."""
    rival = IncrementalPCA(n_components=components)
    for batch in batches:
        rival.partial_fit(batch.numpy())
    return rival.components_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16384)
    given = parser.parse_args()
    batches = list(stream(given.width, given.tokens))
    rows = torch.cat(batches).double()
    covariance = torch.cov(rows.T, correction=0)
    best = float(torch.linalg.eigvalsh(covariance)[-given.components :].sum())
    seconds = {}
    print(f"width {given.width}, {given.components} components, {given.tokens} tokens")
    for name, method in (("streaming", ours), ("IncrementalPCA", incremental)):
        start = time.process_time()
        components = torch.from_numpy(np.asarray(method(batches, given.width, given.components)))
        seconds[name] = time.process_time() - start
        captured = float(((components.double() @ covariance) * components).sum())
        print(f"{name:>15}: {seconds[name]:8.2f} CPU-s, {1 - captured / best:.2%} of variance lost")
    print(f"{'ratio':>15}: {seconds['IncrementalPCA'] / seconds['streaming']:8.1f} x")


if __name__ == "__main__":
    main()
