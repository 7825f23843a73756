"""The time left: against known schedules, against an exact one, and as a build goes on."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusbuild.show.eta import Estimator, makespan


def test_independent_targets_share_the_jobs() -> None:
    waiting = dict.fromkeys("abcdef", 10.0)
    assert makespan(waiting, {}, jobs=2, running={}) == 30
    assert makespan(waiting, {}, jobs=6, running={}) == 10
    assert makespan({}, {}, jobs=2, running={}) == 0


def test_a_chain_gains_nothing_from_more_jobs() -> None:
    waiting = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert makespan(waiting, {"b": ["a"], "c": ["b"]}, jobs=8, running={}) == 6


def test_the_longest_way_goes_first() -> None:
    # By order of names, d would start last and end at 6.
    waiting = {"a": 2.0, "b": 2.0, "c": 2.0, "d": 1.0, "e": 5.0}
    assert makespan(waiting, {"e": ["d"]}, jobs=2, running={}) == 6


def test_what_runs_holds_its_place_and_what_is_done_holds_up_nothing() -> None:
    after = {"b": ["a", "long ago"], "c": ["a"]}
    assert makespan({"b": 3.0, "c": 3.0}, after, jobs=2, running={"a": 4.0}) == 7
    assert makespan({"b": 3.0}, {}, jobs=1, running={"a": 4.0, "x": 6.0}) == 9


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[dict[str, float], dict[str, list[str]], int]:
    names = "abcde"[: draw(st.integers(1, 5))]
    waiting = {name: float(draw(st.integers(0, 9))) for name in names}
    after = {
        name: [earlier for earlier in names[:place] if draw(st.booleans())]
        for place, name in enumerate(names)
    }
    return waiting, after, draw(st.integers(1, 3))


@settings(max_examples=150, deadline=None)
@given(small_graphs())
def test_list_scheduling_is_possible_and_at_most_twice_the_best(
    graph: tuple[dict[str, float], dict[str, list[str]], int],
) -> None:
    waiting, after, jobs = graph
    best = min(_in_order(order, waiting, after, jobs) for order in permutations(waiting))
    estimate = makespan(waiting, after, jobs, {})
    assert best - 1e-9 <= estimate <= (2 - 1 / jobs) * best + 1e-9  # Graham 1969


def _in_order(
    order: tuple[str, ...], waiting: dict[str, float], after: dict[str, list[str]], jobs: int
) -> float:
    """Seconds when targets start in this order, each as early as that allows."""
    places = [0.0] * jobs
    ends: dict[str, float] = {}
    earliest = 0.0
    for name in order:
        if any(earlier not in ends for earlier in after[name]):
            return float("inf")
        place = min(range(jobs), key=lambda index: places[index])
        begin = max([places[place], earliest, *(ends[earlier] for earlier in after[name])])
        earliest = begin
        places[place] = ends[name] = begin + waiting[name]
    return max(ends.values(), default=0.0)


def estimator_of(count: int, seconds: float, jobs: int = 1) -> Estimator:
    estimator = Estimator()
    estimator.plan({f"a:{number}": seconds for number in range(count)}, {}, jobs)
    return estimator


def test_time_passes_while_a_silent_target_runs() -> None:
    estimator = estimator_of(2, 10.0)
    estimator.start("a:0", 0.0)
    estimator.progress("a:0", 0, 0, {}, 0.0)
    assert estimator.seconds_left(0.0) == 20
    assert estimator.seconds_left(4.0) == 16
    assert 10 < estimator.seconds_left(15.0) < 12  # overrun, and it cannot be known by how much


def test_waiting_for_ones_share_is_not_running() -> None:
    estimator = estimator_of(1, 10.0)
    estimator.start("a:0", 0.0)
    assert estimator.target_seconds_left("a:0", 60.0) == 10
    estimator.progress("a:0", 0, 0, {}, 60.0)
    assert estimator.target_seconds_left("a:0", 63.0) == 7


def test_what_waits_for_its_share_holds_no_place() -> None:
    estimator = estimator_of(6, 10.0, jobs=2)
    for number in range(6):
        estimator.start(f"a:{number}", 0.0)
    for number in range(2):
        estimator.progress(f"a:{number}", 0, 0, {}, 0.0)
    assert estimator.seconds_left(0.0) == 30


def test_a_targets_own_pace_overrules_what_was_expected_of_it() -> None:
    estimator = estimator_of(1, 10.0)
    estimator.start("a:0", 0.0)
    estimator.progress("a:0", 0, 0, {}, 0.0)
    estimator.progress("a:0", 50, 100, {}, 100.0)
    assert estimator.target_seconds_left("a:0", 100.0) == pytest.approx(100)


def test_another_round_is_timed_by_its_own_pace() -> None:
    estimator = estimator_of(1, seconds=120)
    estimator.start("a:0", now=0)
    estimator.progress("a:0", 10, 1200, {}, now=0)
    estimator.progress("a:0", 1190, 1200, {}, now=119)
    estimator.progress("a:0", 0, 600, {}, now=120)  # half the steps, at the same pace
    estimator.progress("a:0", 60, 600, {}, now=126)
    assert estimator.target_seconds_left("a:0", now=126) < 60
    estimator.progress("a:0", 150, 600, {}, now=135)
    assert estimator.target_seconds_left("a:0", now=135) == pytest.approx(45)


def test_steps_done_again_are_timed_by_the_pace_since() -> None:
    estimator = estimator_of(1, seconds=100)
    estimator.start("a:0", now=0)
    estimator.progress("a:0", 40, 100, {}, now=40)
    estimator.progress("a:0", 30, 100, {}, now=50)  # rolled back
    estimator.progress("a:0", 50, 100, {}, now=70)
    assert estimator.target_seconds_left("a:0", now=70) == pytest.approx(50)


def test_expectations_follow_what_finished_targets_took() -> None:
    estimator = estimator_of(5, 10.0)
    before = estimator.seconds_left(0.0)
    for number in range(3):
        estimator.finish(f"a:{number}", "built", 30.0)
    left = estimator.seconds_left(90.0)
    assert before == 50
    assert 45 < left <= 60  # two remain, each three times as long as expected


def test_kinds_keep_their_own_pace() -> None:
    estimator = Estimator()
    expected = {"slow:1": 20.0, "slow:2": 20.0, "exact:1": 20.0, "exact:2": 20.0}
    estimator.plan(expected, {}, 1)
    estimator.finish("slow:1", "built", 60.0)
    estimator.finish("exact:1", "built", 20.0)
    estimator.start("slow:2", 0.0)
    estimator.start("exact:2", 0.0)
    assert estimator.target_seconds_left("slow:2", 0.0) > 2 * estimator.target_seconds_left(
        "exact:2", 0.0
    )


def test_what_was_not_built_says_nothing_about_the_pace() -> None:
    estimator = estimator_of(3, 10.0)
    estimator.finish("a:0", "cached", 0.01)
    estimator.finish("a:1", "failed", 0.01)
    assert estimator.seconds_left(0.0) == 10


def test_a_plan_of_ten_thousand_is_estimated_without_recursion() -> None:
    count = 10_000
    waiting = {f"a:{number}": 1.0 for number in range(count)}
    after = {f"a:{number}": [f"a:{number - 1}"] for number in range(1, count)}
    assert makespan(waiting, after, 4, {}) == count
