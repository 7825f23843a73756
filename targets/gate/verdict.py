"""Whether estimates meet a contract's conditions, in a word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from targets.gate.statistics import Estimate, items_to_settle

REPORTED_CONFIDENCE = 0.95
ROUNDING = 1e-9
WORST_FIRST = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Condition:
    """A figure that must be at least `threshold`; at most, if lower is better. rule: in words."""

    rule: str
    estimate: Estimate
    threshold: float
    higher_is_better: bool = True


@dataclass(frozen=True)
class Verdict:
    """verdict: pass, fail or inconclusive. shortfall: what is missing to the threshold, or 0.

    items_needed: about how many items would settle it; None where it is settled, or nothing can.
    """

    verdict: str
    shortfall: float
    items_needed: int | None


def judge(
    estimate: Estimate, threshold: float, confidence: float | None, *, higher_is_better: bool = True
) -> Verdict:
    """The verdict on a figure that must be at least `threshold` (at most, if lower is better).

    Without a confidence the value itself decides. With one the one-sided bound does: it passes
    when the whole bound is on the right side, fails when it is on the wrong one, and is
    inconclusive between.
    """
    sign = 1.0 if higher_is_better else -1.0
    # A ratio of 72 to 80 is 0.9 to whoever counts, and a little less to a processor.
    value, bar = sign * estimate.value, sign * threshold - ROUNDING
    shortfall = sign * threshold - value if value < bar else 0.0
    if confidence is None:
        return Verdict("pass" if value >= bar else "fail", shortfall, None)
    bounds = sorted((sign * estimate.lower_bound, sign * estimate.upper_bound))
    if bounds[0] >= bar:
        return Verdict("pass", 0.0, None)
    if bounds[1] < bar:
        return Verdict("fail", shortfall, None)
    return Verdict("inconclusive", shortfall, items_to_settle(estimate, threshold))


def judged_by_all(
    conditions: Sequence[Condition], confidence: float | None
) -> tuple[Condition, Verdict]:
    """The condition that decides, and its verdict: the first of those that hold least."""
    verdicts = [
        judge(
            condition.estimate,
            condition.threshold,
            confidence,
            higher_is_better=condition.higher_is_better,
        )
        for condition in conditions
    ]
    decided = sorted(
        zip(conditions, verdicts, strict=True), key=lambda each: WORST_FIRST.index(each[1].verdict)
    )
    return decided[0]


def in_words(verdict: Verdict, estimate: Estimate, confidence: float | None) -> str:
    """The end of a summary line: the verdict and what is missing."""
    said = verdict.verdict
    settled = said != "inconclusive"
    if settled and confidence is not None:
        said += f" at {confidence * 100:g} %"
    if verdict.shortfall:
        said += f", short by {verdict.shortfall:.3g}"
    if not settled and confidence is not None:
        need = verdict.items_needed
        settle = (
            "no number of items settles it" if need is None else f"about {need} would settle it"
        )
        said += f" at {confidence * 100:g} % with {estimate.items} items; {settle}"
    return said
