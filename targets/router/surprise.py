"""How much a prompt's tokens surprise a capability: what tells gibberish from a request.

A mean of many embeddings is never far from all centroids, whatever the tokens were; how often a
capability's prompts hold these tokens is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from targets.router.settings import Settings

Floats = NDArray[np.float64]
Prompts = Sequence[Sequence[int]]

# Added to every count, so that a token that no prompt had has a probability (Krichevsky and
# Trofimov 1981).
ADDED = 0.5
# Nats a token. Where validation prompts are all alike, others may still differ a little.
LEAST_SPREAD = 0.5


def surprise_table(
    train: Sequence[Prompts], validation: Sequence[Prompts], vocabulary: int, settings: Settings
) -> Floats:
    """(capabilities, vocabulary): what each token adds to a prompt's unlikeness.

    The mean over a prompt's tokens is 0 for an average prompt of the capability and 1 where the
    router is to abstain. Prompts are given by capability, as token ids; `validation` calibrates.
    """
    rows = []
    for known, held_out in zip(train, validation, strict=True):
        counts = np.bincount(np.concatenate([[], *known]).astype(int), minlength=vocabulary) + ADDED
        nats = -np.log(counts / counts.sum())
        means = np.array([nats[list(ids)].mean() for ids in held_out if ids])
        spread = np.quantile(means, settings.abstain_quantile) - means.mean()
        unit = settings.surprise_margin * max(float(spread), LEAST_SPREAD)
        rows.append((nats - means.mean()) / unit)
    return np.stack(rows)
