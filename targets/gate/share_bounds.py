"""Bounds for items that are right or wrong, from score tests: they hold for few items, too.

A bootstrap of 0s and 1s cannot draw what did not happen: where a few items decide, its bounds are
too narrow. A score test takes the variance at the value it tests instead of at the one it saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

HALVINGS = 60


@dataclass(frozen=True)
class Pairs:
    """Counts of items by who is right: teacher and student, the teacher alone, the student alone,
    neither.
    """

    both: int
    lost: int
    gained: int
    neither: int


def ratio_bounds(pairs: Pairs, z: float) -> tuple[float, float]:
    """Where the student's share over the teacher's may lie: each bound one-sided, at `z` standard
    deviations. The score test for the ratio of paired shares (Nam & Blackwelder 2002, section 2),
    inverted. Needs a teacher that is right at least once.
    """
    value = (pairs.both + pairs.gained) / (pairs.both + pairs.lost)
    lowest = _crossing(lambda ratio: deviations(pairs, ratio) - z, 0.0, value)
    above = max(value, 1.0)
    while deviations(pairs, above) > -z:
        above *= 2
    return lowest, _crossing(lambda ratio: deviations(pairs, ratio) + z, value, above)


def share_bounds(right: int, items: int, z: float) -> tuple[float, float]:
    """The same for one share: Wilson's interval (1927)."""
    share, shrink = right / items, 1 + z * z / items
    middle = share + z * z / (2 * items)
    spread = z * math.sqrt(share * (1 - share) / items + (z / (2 * items)) ** 2)
    return max(0.0, (middle - spread) / shrink), min(1.0, (middle + spread) / shrink)


def deviations(pairs: Pairs, ratio: float) -> float:
    """How far the counts lie from `student share = ratio * teacher share`, in standard deviations
    under it; falls as the ratio grows.
    """
    items = pairs.both + pairs.lost + pairs.gained + pairs.neither
    student, teacher = (pairs.both + pairs.gained) / items, (pairs.both + pairs.lost) / items
    lost, gained = pairs.lost / items, pairs.gained / items
    away = student - ratio * teacher
    if ratio == 0:
        return math.inf if away > 0 else 0.0
    # The likeliest shares gained and lost if that were the ratio.
    square = ratio * ratio
    root = math.sqrt((student - square * teacher) ** 2 + 4 * square * lost * gained)
    if_gained = (square * (teacher + 2 * gained) - student + root) / (2 * ratio * (ratio + 1))
    if_lost = ratio * if_gained - (ratio - 1) * (1 - pairs.neither / items)
    variance = ratio * (if_gained + if_lost) / items
    if variance < 1e-18:
        return math.copysign(math.inf, away) if away else 0.0
    return away / math.sqrt(variance)


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function comes to 0, between a place above it and one below."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2
