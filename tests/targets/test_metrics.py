"""Metrics on answers worth telling apart, candidates' code that must not get away, and bounds."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.text.code_tests.running import Limits, run_candidates
from modalities.text.metrics.final_answer import final_number
from modalities.text.metrics.rouge_l import longest_common_subsequence
from modalities.text.metrics.word_error_rate import edit_distance
from specs.names import metric_traits, metrics
from targets.commands.named_modules import named_metric as get_metric
from targets.gate.statistics import items_to_settle, retained_estimate, score_estimate

METRICS = {name: get_metric(name) for name in metrics().modules}
HIGHER = [name for name, metric in METRICS.items() if metric.higher_is_better]
LOWER = [name for name, metric in METRICS.items() if not metric.higher_is_better]


def score_rows(metric: str, rows: list[dict[str, Any]], answers: list[Any]) -> list[float]:
    return get_metric(metric).score_rows(rows, answers)


def score(metric: str, reference: str, answer: str) -> float:
    return get_metric(metric).score({"id": "x", "prompt": "p", "answer": reference}, answer)


@pytest.mark.parametrize(
    ("metric", "reference", "answer", "expected"),
    [
        ("exact_match", "yes", " yes\n", 1),
        ("exact_match", "yes", "Yes", 0),
        ("accuracy", "tools", "code", 0),
        ("final_answer", "7+5=12. #### 12", "12.0", 1),
        ("final_answer", "#### 1,200", "It is 1200 dollars.", 1),
        ("final_answer", "#### 12", "12 of 13", 0),
        ("final_answer", "#### 12", "#### 12 #### 13", 0),
        ("final_answer", "#### -3", "so it is -3", 1),
        ("final_answer", "#### 0.5", r"thus \boxed{1/2} of 3", 1),
        ("final_answer", "#### 5", "", 0),
        ("final_answer", "#### B", "because ... #### b", 1),
        ("final_answer", "#### 1", "9" * 5000, 0),
        ("json_equal", '{"a":1,"b":[1,2]}', '{ "b": [1, 2], "a": 1.0 }', 1),
        ("json_equal", '{"a":true}', '{"a":1}', 0),
        ("json_equal", '{"a":[1,2]}', '{"a":[2,1]}', 0),
        ("json_equal", "[0]", "[false]", 0),
        ("json_equal", '{"a":1}', '{"a":1', 0),
        ("json_equal", '{"a":1}', "[" * 100_000, 0),
        ("token_f1", "The cat sat", "a cat sat!", 1),
        ("token_f1", "cat sat", "cat ran", 0.5),
        ("token_f1", "cat", "", 0),
        ("rouge_l", "a b c d", "a x c d", 0.75),
        ("rouge_l", "a b c", "c b a", 1 / 3),
        ("cosine", "[1, 0]", "[2, 0]", 1),
        ("cosine", "[1, 0]", "[3, 4]", 0.6),
        ("cosine", "[1, 0]", "[-1, 0]", 0),
        ("cosine", "[1, 0]", "[1, 0, 0]", 0),
        ("cosine", "[1, 0]", "[0, 0]", 0),
        ("cosine", "[1e308, 0]", "[1e308, 1e308]", 0.5**0.5),
        ("cosine", "[1, 0]", "[1, NaN]", 0),
        ("cosine", "[1, 0]", '{"a": 1}', 0),
        ("cosine", "[1, 0]", "[[1, 0]]", 0),
        ("cosine", "[1, 0]", "[" * 100_000, 0),
        ("word_error_rate", "a b c d", "a x c", 0.5),
        ("word_error_rate", "a", "x y z", 3),
        ("word_error_rate", "a b", "", 1),
    ],
)
def test_scores_of_answers(metric: str, reference: str, answer: str, expected: float) -> None:
    assert score(metric, reference, answer) == pytest.approx(expected)


OF_TEXT = [name for name in METRICS if name not in ("unit_tests", "bits_per_byte", "cosine")]


@pytest.mark.parametrize("name", OF_TEXT)
def test_the_reference_itself_scores_best(name: str) -> None:
    metric, reference = get_metric(name), '{"a": [1, "two words"]}'
    assert score(name, reference, reference) == (1.0 if metric.higher_is_better else 0.0)


def test_bits_per_byte_is_of_all_text_and_needs_likelihoods() -> None:
    metric = get_metric("bits_per_byte")
    rows = [{"answer": "abcd"}, {"answer": "é" * 6}]
    answers: list[dict[str, Any]] = [
        {"answer": "", "log_prob": -8 * math.log(2), "bytes": 4},
        {"answer": "", "log_prob": -12 * math.log(2), "bytes": 12},
    ]
    scores = score_rows("bits_per_byte", rows, answers)
    assert scores == pytest.approx([2.0, 1.0])
    assert metric.aggregate(scores, metric.weights(rows)) == pytest.approx(20 / 16)
    with pytest.raises(ValueError, match="log_prob"):
        score_rows("bits_per_byte", rows, ["a", "b"])


def test_chance_is_what_one_answer_for_all_would_score() -> None:
    rows = [{"answer": "#### 4"}, {"answer": "x #### 4.0"}, {"answer": "#### 5"}]
    assert get_metric("final_answer").chance(rows) == pytest.approx(2 / 3)
    assert get_metric("exact_match").chance(rows) == pytest.approx(1 / 3)
    directions = [{"answer": text} for text in ("[5, 0]", "[0, 1]", "[0, 2]")]
    assert get_metric("cosine").chance(directions) == pytest.approx(5**0.5 / 3)
    assert get_metric("word_error_rate").chance(rows) == 1
    assert get_metric("bits_per_byte").chance(rows) == 8


def test_mistakes_are_errors_that_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="did you mean final_answer"):
        get_metric("final-answer")
    with pytest.raises(ValueError, match="is no JSON"):
        score_rows("json_equal", [{"id": "r1", "answer": "plain"}], ["{}"])
    with pytest.raises(ValueError, match="reference of row r1 is no list of numbers"):
        score_rows("cosine", [{"id": "r1", "answer": "[0, 0]"}], ["[1, 0]"])
    with pytest.raises(ValueError, match="row r1 has no `tests`"):
        score_rows("unit_tests", [{"id": "r1", "answer": "x"}], ["x"])
    with pytest.raises(ValueError, match="2 rows, but 1 answers"):
        score_rows("exact_match", [{"answer": "x"}] * 2, ["x"])


words = st.lists(st.sampled_from("abc"), max_size=6)


@given(words, words)
@settings(max_examples=200, deadline=None)
def test_overlaps_agree_with_their_definitions(one: list[str], other: list[str]) -> None:
    def lcs(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + lcs(i + 1, j + 1)
        return max(lcs(i + 1, j), lcs(i, j + 1))

    def edits(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return max(len(one) - i, len(other) - j)
        exchanged = edits(i + 1, j + 1) + (one[i] != other[j])
        if one[i] == other[j]:
            return exchanged
        return min(exchanged, edits(i + 1, j) + 1, edits(i, j + 1) + 1)

    common, distance = longest_common_subsequence(one, other), edit_distance(one, other)
    assert common == lcs(0, 0)
    assert distance == edits(0, 0) == edit_distance(other, one)


@given(st.integers(-(10**6), 10**6), st.integers(0, 99))
def test_a_number_is_found_however_it_is_written(whole: int, cents: int) -> None:
    exact = final_number(f"{whole}.{cents:02}")
    assert exact == final_number(f"so 1 and then #### ${whole:,}.{cents:02}0.")
    assert exact == final_number(f"= {whole}.{cents:02}")


class TestCandidates:
    """Code that a model wrote is run where it can do no harm, and cannot pass by cheating."""

    @pytest.mark.parametrize(
        "code",
        [
            "def f(): return 1",
            "import math, re, statistics, dataclasses, decimal\ndef f(): return math.floor(1.5)",
            "print('x' * 10_000_000)\ndef f(): return 1",
            "```python\ndef f(): return 1\n```\nThis returns one.",
            "import warnings\ndef f(): return 1 if 1 is 1 else 2",
        ],
    )
    def test_good_code_passes(self, code: str) -> None:
        row = {"id": "r", "answer": "", "tests": ["assert f() == 1"]}
        assert score_rows("unit_tests", [row], [code]) == [1.0]

    @pytest.mark.parametrize(
        "code",
        [
            "",
            "def f(): return 2",
            "def f(:",
            "def f(): return g()",
            "import os\nos._exit(0)",
            "raise SystemExit(0)",
            "import os\nos.write(3, b'passed')\nos._exit(0)",
            "open('here', 'w')",
            "import pathlib\npathlib.Path(__import__('sys').prefix + '/x').touch()",
            "open('/etc/hostname').read()",
            "import os\nos.fork()",
            "import posix\nposix.fork()",
            "import subprocess\nsubprocess.run(['true'])",
            "import _posixsubprocess, os\nos.execv('/bin/true', ['true'])",
            "import socket\nsocket.socket()",
            "import ctypes\nctypes.CDLL(None).fork()",
            "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
            "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (9, 9))",
            "x = bytearray(1 << 40)",
            "x = [0]\nwhile True: x += x",
            "def f(): return f()",
            "import numpy",
            "import targets",
            "x = " + "(" * 10_000,
            "x = " + "-" * 90_000 + "1",
            "x = '" + "y" * 200_000 + "'",
        ],
    )
    def test_bad_code_fails(self, code: str) -> None:
        (outcome,) = run_candidates([(code, ["assert f() == 1"])])
        assert outcome != "passed"

    def test_loops_and_sleepers_are_ended_and_the_others_still_run(self) -> None:
        cases = [
            ("while True: pass", []),
            ("import time\ntime.sleep(60)", []),
            ("import signal\nsignal.signal(signal.SIGVTALRM, lambda *a: 0)\nwhile 1: pass", []),
            ("def f(): return 1", ["assert f() == 1"]),
        ]
        started = time.monotonic()
        outcomes = run_candidates(cases, Limits(cpu_seconds=0.2, wall_seconds=1.5))
        assert outcomes[:2] == ["timeout", "timeout"]
        assert outcomes[2] != "passed" and outcomes[3] == "passed"
        assert time.monotonic() - started < 15

    def test_one_candidate_sees_nothing_of_another(self) -> None:
        cases = [
            ("import math\nmath.pi = 3\nleft = 1", []),
            ("import math\nassert math.pi > 3", ["assert 'left' not in globals()"]),
            ("import os\nassert os.environ.get('HOME') is None", []),
        ]
        assert run_candidates(cases) == ["passed"] * 3

    def test_candidates_are_cheap(self) -> None:
        case = ("def f(x):\n    return x + 1", ["assert f(1) == 2"] * 3)
        started = time.process_time()
        assert run_candidates([case] * 100) == ["passed"] * 100
        assert time.process_time() - started < 2  # of this process; the runner's is its own


scores = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=8, max_size=60)


def halves(pairs: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64)
    table[0] = 1.0  # a teacher that is right at least once
    return table[:, 0], table[:, 1]


@pytest.mark.parametrize("name", HIGHER)
def test_higher_is_better_retains_student_over_teacher(name: str) -> None:
    metric = get_metric(name)
    assert metric.retained([0.8, 0.8], [0.4, 0.4]) == pytest.approx(0.5)
    assert metric.is_better(0.9, 0.8) and metric.meets(0.8, 0.8) and not metric.meets(0.7, 0.8)


@pytest.mark.parametrize("name", LOWER)
def test_lower_is_better_retains_teacher_over_student(name: str) -> None:
    metric = get_metric(name)
    assert metric.retained([0.2, 0.2], [0.4, 0.4]) == pytest.approx(0.5)
    assert metric.is_better(0.1, 0.2) and metric.meets(0.2, 0.2) and not metric.meets(0.3, 0.2)
    assert metric.retained([0.2], [0.0]) == math.inf
    assert metric.retained([0.0], [0.0]) == 1


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_retained_grows_with_every_item_the_student_does_better(
    name: str, data: st.DataObject
) -> None:
    metric = get_metric(name)
    value = st.floats(0.01, 1)
    teacher = data.draw(st.lists(value, min_size=1, max_size=12))
    student = [data.draw(value) for _ in teacher]
    weights = [data.draw(st.integers(1, 9)) for _ in teacher]
    place = data.draw(st.integers(0, len(teacher) - 1))
    better = list(student)
    better[place] = student[place] * (2 if metric.higher_is_better else 0.5)
    before = metric.retained(teacher, student, weights)
    assert metric.retained(teacher, better, weights) >= before
    assert metric.retained(teacher, teacher, weights) == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(scores, st.integers(0, 2**31))
def test_bounds_enclose_the_estimate_and_widen_with_confidence(
    pairs: list[tuple[bool, bool]], seed: int
) -> None:
    teacher, student = halves(pairs)
    metric, weights = get_metric("exact_match"), np.ones(len(teacher))
    found = [
        retained_estimate(metric, teacher, student, weights, seed=seed, confidence=level)
        for level in (0.8, 0.95, 0.99)
    ]
    for tight, wide in pairwise(found):
        assert wide.lower_bound <= tight.lower_bound and wide.upper_bound >= tight.upper_bound
        assert wide.interval[0] <= tight.interval[0] and wide.interval[1] >= tight.interval[1]
    for each in found:
        assert each.interval[0] <= each.lower_bound <= each.upper_bound <= each.interval[1]
    again = retained_estimate(metric, teacher, student, weights, seed=seed, confidence=0.95)
    assert again == found[1]


def test_items_that_never_differ_still_leave_a_doubt() -> None:
    metric = get_metric("exact_match")
    for items, bound in ((5, 0.55), (100, 0.97)):
        ones = np.ones(items)
        estimate = retained_estimate(metric, ones, ones, ones, seed=1, confidence=0.95)
        assert estimate.value == 1 and estimate.lower_bound == pytest.approx(bound, abs=0.005)


def test_items_to_settle_falls_as_the_margin_grows() -> None:
    metric, weights = get_metric("exact_match"), np.ones(200)
    teacher = np.ones(200)
    student = np.r_[np.ones(190), np.zeros(10)]
    estimate = retained_estimate(metric, teacher, student, weights, seed=1, confidence=0.95)
    near, far = items_to_settle(estimate, 0.94), items_to_settle(estimate, 0.9)
    assert near is not None and far is not None and near > far > 200
    assert items_to_settle(estimate, estimate.value) is None


def test_weights_count_in_the_estimate() -> None:
    metric = get_metric("bits_per_byte")
    estimate = score_estimate(metric, [1.0, 2.0], np.array([3.0, 1.0]), seed=1, confidence=0.95)
    assert estimate.value == pytest.approx(1.25)


@pytest.mark.parametrize("name", METRICS)
def test_what_the_spec_reads_of_a_metric_is_what_it_is(name: str) -> None:
    metric, traits = METRICS[name], metric_traits(name)
    assert metric.name == name
    assert (metric.unit, metric.higher_is_better) == (traits.unit, traits.higher_is_better)
    assert metric.by_likelihood == traits.by_likelihood
    if not traits.unbounded:
        assert metric.higher_is_better, "at its best such a metric is 1"
