"""How sure a retained fraction is: bootstrap over paired items, one-sided bounds, items to settle.

The ratio is resampled as a whole (Efron & Tibshirani 1993): a resample draws items, both models'
scores of an item together. Where items are right or wrong, a bound is the more cautious of the
bootstrap's and a score test's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from modalities.metric import Floats, Metric
from targets.gate.share_bounds import Pairs, ratio_bounds, share_bounds

RESAMPLES = 2000
CHUNK_CELLS = 4_000_000
# The chance with which as many items as are named settle a verdict, if the figure is the truth.
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A figure with what items left it open.

    interval: two-sided, at `confidence`. lower_bound, upper_bound: one-sided, each at
    `confidence` by itself.
    """

    value: float
    interval: tuple[float, float]
    lower_bound: float
    upper_bound: float
    confidence: float
    items: int


def retained_estimate(
    metric: Metric, teacher: Any, student: Any, weights: Any, *, seed: int, confidence: float
) -> Estimate:
    """The retained fraction over paired items. `weights`: (items,) as the metric gives them."""

    def figure(means: Floats) -> Floats:
        return np.asarray(metric.ratio(means[..., 0], means[..., 1]))

    scores = np.stack([teacher, student], axis=-1).astype(np.float64)
    found = _estimate(figure, scores, np.asarray(weights, np.float64), seed, confidence)
    if metric.higher_is_better and _right_or_wrong(scores, weights) and scores[:, 0].any():
        pairs = _pairs(scores)
        return _cautious(found, lambda z: ratio_bounds(pairs, z))
    return found


def score_estimate(
    metric: Metric, scores: Any, weights: Any, *, seed: int, confidence: float
) -> Estimate:
    """The aggregate score of one model, in the metric's unit."""
    column = np.asarray(scores, np.float64)[:, None]
    found = _estimate(
        lambda means: means[..., 0], column, np.asarray(weights, np.float64), seed, confidence
    )
    if metric.higher_is_better and _right_or_wrong(column, weights):
        right = int(column.sum())
        found = _cautious(found, lambda z: share_bounds(right, len(column), z))
    best = 1.0 if metric.higher_is_better else math.inf  # shares and F1 end at 1
    low, high = (min(best, bound) for bound in found.interval)
    return replace(found, interval=(low, high), upper_bound=min(best, found.upper_bound))


def _right_or_wrong(scores: Floats, weights: Any) -> bool:
    """Whether every score is 0 or 1, and every item counts alike."""
    return bool(np.isin(scores, (0.0, 1.0)).all()) and len(np.unique(weights)) == 1


def _pairs(scores: Floats) -> Pairs:
    """scores: (items, 2) of 0 and 1, the teacher's first."""
    teacher, student = scores[:, 0] == 1, scores[:, 1] == 1
    counts = (teacher & student, teacher & ~student, ~teacher & student, ~teacher & ~student)
    return Pairs(*(int(each.sum()) for each in counts))


def _cautious(estimate: Estimate, bounds: Callable[[float], tuple[float, float]]) -> Estimate:
    """The estimate, with every bound the farther of its own and of `bounds(z)`."""
    normal = NormalDist()
    low, high = bounds(normal.inv_cdf((1 + estimate.confidence) / 2))
    lower, upper = bounds(normal.inv_cdf(estimate.confidence))
    return replace(
        estimate,
        interval=(min(low, estimate.interval[0]), max(high, estimate.interval[1])),
        lower_bound=min(lower, estimate.lower_bound),
        upper_bound=max(upper, estimate.upper_bound),
    )


def items_to_settle(estimate: Estimate, threshold: float) -> int | None:
    """About how many items put the bound on one side of the threshold, four times in five.

    The bound comes nearer to the figure with the root of the number of items; the figure itself
    moves, so that reaching it is not enough. None where the figure is the threshold itself: no
    number settles that.
    """
    margin = abs(estimate.value - threshold)
    if margin == 0 or not math.isfinite(margin):
        return None
    bound = estimate.lower_bound if estimate.value > threshold else estimate.upper_bound
    half_width = abs(estimate.value - bound)
    sure = NormalDist().inv_cdf(estimate.confidence)
    widened = half_width * (sure + NormalDist().inv_cdf(POWER)) / sure
    return max(estimate.items + 1, math.ceil(estimate.items * (widened / margin) ** 2))


def _estimate(
    figure: Callable[[Floats], Floats],
    scores: Floats,
    weights: Floats,
    seed: int,
    confidence: float,
) -> Estimate:
    """Bootstrap bounds of a figure, bias-corrected and accelerated (BCa, Efron 1987).

    scores: (items, models). figure: weighted means (..., models) -> (...).
    """
    items = len(scores)
    if items == 0:
        raise ValueError("no items to score")
    columns = np.concatenate([scores * weights[:, None], weights[:, None]], axis=1)
    # Items that score alike are drawn together: of right and wrong there are four kinds.
    weighted, counts = np.unique(columns, axis=0, return_counts=True)  # (kinds, models + 1)
    total = counts @ weighted  # (models + 1,)
    value = float(figure(total[:-1] / total[-1]))
    sums = _resampled_sums(weighted, counts, seed)  # (resamples, models + 1)
    resampled = figure(sums[:, :-1] / sums[:, -1:])
    side = (1 - confidence) / 2
    if resampled.min() == resampled.max():
        # Not one item differs, so resampling sees no doubt at all. If the true share of items
        # that would change the figure were above q, all these would agree with a probability
        # below 1 - confidence.
        q, q_two = (1 - level ** (1 / items) for level in (1 - confidence, side))
        interval = (value * (1 - q_two), value * (1 + q_two))
        return Estimate(value, interval, value * (1 - q), value * (1 + q), confidence, items)
    without_one = total - weighted  # (kinds, models + 1)
    jackknife = np.repeat(figure(without_one[:, :-1] / without_one[:, -1:]), counts)
    levels = _bca_levels(value, resampled, jackknife, (side, 1 - side, 1 - confidence, confidence))
    low, high, lower, upper = (float(x) for x in _quantiles(resampled, levels))
    return Estimate(value, (low, high), lower, upper, confidence, items)


def _resampled_sums(weighted: Floats, counts: Any, seed: int) -> Floats:
    """(kinds, columns) -> (resamples, columns): sums over as many items, drawn with replacement."""
    generator = np.random.default_rng(seed)
    items, kinds = int(counts.sum()), len(counts)
    chunk = max(1, CHUNK_CELLS // kinds)
    parts = [
        generator.multinomial(items, counts / items, size=min(chunk, RESAMPLES - start)) @ weighted
        for start in range(0, RESAMPLES, chunk)
    ]
    return np.concatenate(parts)


def _bca_levels(
    value: float, resampled: Floats, jackknife: Floats, levels: tuple[float, ...]
) -> list[float]:
    """The quantiles of the resamples that stand for these levels of the figure."""
    normal = NormalDist()
    below = (np.sum(resampled < value) + np.sum(resampled == value) / 2) / len(resampled)
    floor = 1 / (2 * len(resampled))
    bias = normal.inv_cdf(float(np.clip(below, floor, 1 - floor)))
    finite = jackknife[np.isfinite(jackknife)]
    away = finite.mean() - finite
    spread = float(np.sum(away**2))
    acceleration = float(np.sum(away**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    adjusted = []
    for level in levels:
        z = bias + normal.inv_cdf(level)
        shrink = 1 - acceleration * z
        # Past the pole of the correction its order would turn round: the plain bias stays.
        adjusted.append(normal.cdf(bias + (z / shrink if shrink > 0 else z)))
    return adjusted


def _quantiles(resampled: Floats, levels: list[float]) -> Floats:
    """Quantiles that stay right where a resample is infinite: no interpolation."""
    ordered = np.sort(resampled)
    places = np.clip(np.floor(np.array(levels) * len(ordered)).astype(int), 0, len(ordered) - 1)
    return np.asarray(ordered[places])
