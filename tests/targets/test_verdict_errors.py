"""How often a verdict is wrong, where the truth is known: what contracts promise, simulated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from benchmarks import verdict_errors
from benchmarks.verdict_errors import World, estimate_of
from targets.commands.named_modules import named_metric
from targets.gate.share_bounds import Pairs, deviations, ratio_bounds, share_bounds
from targets.gate.statistics import items_to_settle, retained_estimate
from targets.gate.verdict import judge

TRIALS = 400
SPREAD = 3 * (0.05 * 0.95 / TRIALS) ** 0.5  # of a share of 5 %: three standard deviations


def verdicts(
    world: World, threshold: float, confidence: float | None, trials: int = TRIALS
) -> dict[str, float]:
    return verdict_errors.verdicts(world, threshold, confidence, trials)


@pytest.mark.parametrize(
    "world",
    [
        World(1000, 0.7, 0.97, 0.05),
        World(200, 0.7, 0.97, 0.05),
        World(200, 0.95, 0.97, 0.3),
        World(100, 0.7, 0.97, 0.0),  # two items decide: a bootstrap alone passes one in eight
        World(50, 0.5, 0.9, 0.03),
    ],
)
def test_with_a_confidence_a_verdict_is_wrong_as_seldom_as_it_says(world: World) -> None:
    """At the threshold itself, where it is hardest, either wrong way has at most 5 %."""
    shares = verdicts(world, world.retained, 0.95)
    assert shares["pass"] <= 0.05 + SPREAD
    # Exactly at the threshold the contract holds, so that to fail is wrong, too.
    assert shares["fail"] <= 0.05 + SPREAD


def test_bounds_of_graded_scores_hold_too() -> None:
    """The bootstrap alone: bits per byte, items of unlike length, lower is better."""
    metric, trials, items, truth = named_metric("bits_per_byte"), 100, 60, 0.97
    draw, wrong = np.random.default_rng(2), {"below": 0, "above": 0}
    for trial in range(trials):
        weights = draw.integers(20, 200, items).astype(float)
        teacher = draw.gamma(4, 0.25, items)
        student = teacher / truth * draw.gamma(25, 1 / 25, items)  # a mean of 1, besides
        found = retained_estimate(metric, teacher, student, weights, seed=trial, confidence=0.95)
        wrong["above"] += found.lower_bound > truth
        wrong["below"] += found.upper_bound < truth
    # 5 % of 100 is 5; 12 would be more than three standard deviations above.
    assert max(wrong.values()) <= 12 and min(wrong.values()) > 0


def test_away_from_the_threshold_wrong_verdicts_vanish_and_right_ones_come() -> None:
    weak, able = World(1000, 0.7, 0.94, 0.05), World(1000, 0.7, 1.0, 0.05)
    shares = verdicts(weak, 0.97, 0.95, 100)
    assert shares["pass"] <= 0.005 and shares["fail"] > 0.6
    shares = verdicts(able, 0.97, 0.95, 100)
    assert shares["fail"] <= 0.005 and shares["pass"] > 0.9


def test_the_point_rule_is_a_coin_at_the_threshold_and_wrong_for_few_items() -> None:
    """The default is what a contract says in words; docs/contracts.md names these rates."""
    assert verdicts(World(1000, 0.7, 0.97, 0.05), 0.97, None)["pass"] == pytest.approx(0.5, abs=0.1)
    few, many = World(200, 0.7, 0.95, 0.1), World(2000, 0.7, 0.95, 0.1)
    assert 0.2 < verdicts(few, 0.97, None)["pass"] < 0.4
    assert verdicts(many, 0.97, None)["pass"] < 0.06


def test_as_many_items_as_are_named_settle_it_four_times_in_five() -> None:
    small = World(200, 0.7, 1.0, 0.08)
    estimate = estimate_of(np.round(np.array(small.shares) * small.items).astype(int))
    assert judge(estimate, 0.97, 0.95).verdict == "inconclusive"
    needed = items_to_settle(estimate, 0.97)
    assert needed is not None and needed > small.items
    shares = verdicts(World(needed, 0.7, 1.0, 0.08), 0.97, 0.95, 150)
    assert shares["pass"] == pytest.approx(0.8, abs=0.12)


@pytest.mark.parametrize("ratio", [0.8, 0.97, 1.1])
def test_the_score_test_takes_the_likeliest_shares_under_its_ratio(ratio: float) -> None:
    """Against a search for them; the closed form is easily turned round."""
    pairs = Pairs(45, 3, 6, 46)

    def unlikely(shares: np.ndarray) -> float:
        lost, gained = shares
        both = (ratio * lost - gained) / (1 - ratio)
        cells = np.array([both, lost, gained, 1 - both - lost - gained])
        if (cells <= 0).any():
            return 1e9
        return -float(np.array([45, 3, 6, 46]) @ np.log(cells))

    starts = np.random.default_rng(0).random((200, 2)) * 0.2
    start = min(starts, key=unlikely)
    exact = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000}
    lost, gained = minimize(unlikely, start, method="Nelder-Mead", options=exact).x
    expected = (0.51 - ratio * 0.48) / np.sqrt(ratio * (lost + gained) / 100)
    assert deviations(pairs, ratio) == pytest.approx(expected, rel=1e-4)


def test_bounds_are_where_their_tests_turn() -> None:
    pairs, z = Pairs(60, 8, 4, 28), 1.645
    low, high = ratio_bounds(pairs, z)
    assert low < 64 / 68 < high
    assert deviations(pairs, low) == pytest.approx(z, abs=1e-6)
    assert deviations(pairs, high) == pytest.approx(-z, abs=1e-6)
    low, high = share_bounds(18, 20, z)
    for share, side in ((low, z), (high, -z)):
        assert (0.9 - share) / np.sqrt(share * (1 - share) / 20) == pytest.approx(side)
    assert share_bounds(20, 20, z)[1] == 1 and share_bounds(0, 20, z)[0] == 0
    assert brentq(lambda x: deviations(pairs, x), 0.5, 2) == pytest.approx(64 / 68)


def test_a_student_that_is_never_right_has_bounds() -> None:
    low, high = ratio_bounds(Pairs(0, 40, 0, 60), 1.645)
    assert low == pytest.approx(0, abs=1e-9) and 0 < high < 0.1
