"""Right where the answer is the reference."""

from __future__ import annotations

from modalities.metric import Metric
from modalities.text.same_text import commonest_text, same_texts

UNIT = "share right"
HIGHER_IS_BETTER = True

METRIC = Metric("exact_match", UNIT, HIGHER_IS_BETTER, same_texts, chance=commonest_text)
