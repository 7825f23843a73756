"""How likely a model finds the reference, whatever it would have said itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row

UNIT = "bits per byte"
HIGHER_IS_BETTER = False
UNBOUNDED = True
BY_LIKELIHOOD = True


def bits_per_byte(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """Bits to code the reference and its end, per UTF-8 byte: comparable across tokenizers.

    Raises ValueError where an answer row has no `log_prob` (nats).
    """
    scores = []
    for row, answer in zip(rows, answers):
        if "log_prob" not in answer:
            raise ValueError(
                f"bits_per_byte needs `log_prob` in the answer rows; row {row.get('id', '?')} "
                "has only text"
            )
        scores.append(-float(answer["log_prob"]) / math.log(2) / reference_bytes(row))
    return scores


def reference_bytes(row: Row) -> float:
    """UTF-8 bytes of the reference; never nothing."""
    return float(max(1, len(row["answer"].encode())))


def uniform_bytes(rows: Sequence[Row]) -> float:
    """Bits per byte of a model that finds every byte equally likely."""
    return 8.0


METRIC = Metric(
    "bits_per_byte",
    UNIT,
    HIGHER_IS_BETTER,
    bits_per_byte,
    weigh=reference_bytes,
    chance=uniform_bytes,
    by_likelihood=BY_LIKELIHOOD,
)
