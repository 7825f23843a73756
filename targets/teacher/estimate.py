"""What the record of a teacher takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.sizes import Sizes
from targets.budget.teachers import Opened

TOKENIZER_BYTES = 10e6


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """Its weights are read once; its tokenizer is kept."""
    opened = Opened.of(target, sizes)
    return Estimate(opened.needs, opened.reading_seconds + 1, TOKENIZER_BYTES)
