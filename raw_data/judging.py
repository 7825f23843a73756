"""What the rows of a file could teach, by the signs in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raw_data.signs import Sign, signs


@dataclass(frozen=True)
class Judgement:
    """What the rows of a file could teach, how sure that is, and why."""

    capability: str
    confidence: float
    reason: str


def judge(rows: Sequence[Mapping[str, Any]]) -> Judgement | None:
    """What most of the rows have the strongest signs of; None where there is no sign at all."""
    strengths: dict[str, float] = defaultdict(float)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        best: dict[str, Sign] = {}
        for sign in signs(row):
            if sign.strength > best.get(sign.capability, Sign("", 0.0, "")).strength:
                best[sign.capability] = sign
        for capability, sign in best.items():
            strengths[capability] += sign.strength
            reasons[capability][sign.reason] += 1
    if not strengths:
        return None
    capability = max(strengths, key=lambda name: strengths[name])
    reason = reasons[capability].most_common(1)[0][0]
    share = sum(reasons[capability].values()) / len(rows)
    if share < 1:
        reason += f", in {share:.0%} of the rows"
    return Judgement(capability, round(strengths[capability] / len(rows), 3), reason)
