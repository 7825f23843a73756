"""Gates: verdicts from stored answers alone, and from a real packed router."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalities.json_files import read_json, read_rows, write_rows
from nexusbuild.plugins import Job
from targets.gate.settings import Settings
from targets.gate.statistics import Estimate
from targets.gate.verdict import judge
from targets.gate.work import build_capability, build_router

Answers = Sequence[str | Mapping[str, Any]]


def item_id(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()[:16]


@pytest.fixture
def make_gate(make_job: Callable[..., Job], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Judge answers; returns the verdict, with the job's directory under `out`."""

    def make(
        settings: Mapping[str, Any],
        references: Sequence[str],
        student: Answers,
        name: str = "reasoning",
        held_out: Sequence[int] = (),
        **teachers: Answers,
    ) -> dict[str, Any]:
        def write(path: Path, answers: Answers) -> Path:
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {"id": item_id(n), **(a if isinstance(a, Mapping) else {"answer": a})}
                for n, a in enumerate(answers)
            ]
            # Answers pair by id, so their order must not matter.
            write_rows(path, rows[::-1])
            return path

        rows = [
            {"id": item_id(n), "prompt": f"p{n}", "answer": text, "held_out": n in held_out}
            for n, text in enumerate(references)
        ]
        write_rows(tmp_path / "eval.jsonl", rows)
        inputs = {
            "eval": tmp_path / "eval.jsonl",
            "score": write(tmp_path / "score" / "eval.jsonl", student).parent,
            **{f"baseline/{t}": write(tmp_path / f"{t}.jsonl", a) for t, a in teachers.items()},
        }
        job = make_job(f"gate:{name}", settings, inputs=inputs)
        build_capability(job)
        return {**read_json(job.out / "verdict.json"), "out": job.out}

    return make


REFERENCES = [f"#### {n}" for n in range(100)]


def right(count: int) -> list[str]:
    """Answers of which the first `count` are right."""
    return [text if n < count else "#### wrong" for n, text in enumerate(REFERENCES)]


def test_a_student_that_keeps_enough_passes(make_gate: Callable[..., dict[str, Any]]) -> None:
    found = make_gate(
        {"metric": "final_answer", "retain_fraction": 0.9}, REFERENCES, right(94), scholar=right(96)
    )
    assert found["verdict"] == "pass" and found["shortfall"] == 0
    assert found["teacher"] == "scholar" and found["items"] == 100
    assert (found["teacher_score"], found["student_score"]) == (0.96, 0.94)
    assert found["retained"] == pytest.approx(94 / 96, abs=1e-6)
    low, high = found["interval"]
    assert low < found["lower_bound"] < found["retained"] <= high
    assert found["summary"].startswith(
        "reasoning: student 0.940, teacher scholar 0.960, retained 0.979 (95 % "
    )
    assert found["summary"].endswith(">= 0.9: pass")
    items = read_rows(found["out"] / "items.jsonl")
    assert [item["id"] for item in items] == [item_id(n) for n in range(100)]
    assert items[95] == {"id": item_id(95), "student": 0.0, "teacher": 1.0}


def test_a_student_that_lost_too_much_fails_by_a_named_shortfall(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    found = make_gate(
        {"metric": "final_answer", "retain_fraction": 0.97},
        REFERENCES,
        right(72),
        scholar=right(96),
    )
    assert found["verdict"] == "fail"
    assert found["shortfall"] == pytest.approx(0.22)
    assert found["summary"].endswith(">= 0.97: fail, short by 0.22")


def test_the_contract_compares_with_the_best_single_teacher(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    # Together the two teachers know all; the best of them alone knows 60.
    late = [t if n >= 60 else "no" for n, t in enumerate(REFERENCES)]
    found = make_gate(
        {"metric": "final_answer", "retain_fraction": 0.97},
        REFERENCES,
        right(60),
        able=late,
        better=right(60),
    )
    assert found["verdict"] == "pass" and found["teacher"] == "better"
    assert found["teachers"] == {"able": 0.4, "better": 0.6}


def test_confidence_makes_the_bound_decide_and_says_how_many_items_settle_it(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.95}
    scores = {"student": right(94), "scholar": right(97)}
    assert make_gate(settings, REFERENCES, **scores)["verdict"] == "pass"
    sure = make_gate({**settings, "confidence": 0.95}, REFERENCES, **scores)
    assert sure["verdict"] == "inconclusive" and sure["lower_bound"] < 0.95 < sure["retained"]
    assert sure["items_to_settle"] > 100
    said = f"inconclusive at 95 % with 100 items; about {sure['items_to_settle']} would settle it"
    assert sure["summary"].endswith(said)
    lost = make_gate({**settings, "confidence": 0.95}, REFERENCES, right(50), scholar=right(97))
    assert lost["verdict"] == "fail" and ">= 0.95: fail at 95 %, short by" in lost["summary"]
    kept = make_gate({**settings, "confidence": 0.95}, REFERENCES, right(97), scholar=right(97))
    assert kept["summary"].endswith(">= 0.95: pass at 95 %")


def test_a_teacher_no_better_than_chance_is_an_error(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.97}
    with pytest.raises(ValueError, match=r"teacher scholar scores 0\.000 .* nothing to retain"):
        make_gate(settings, REFERENCES, right(100), scholar=right(0))
    one_for_all = ["#### 1"] * 70 + ["#### 2"] * 30
    with pytest.raises(ValueError, match=r"where chance is 0\.700"):
        make_gate(settings, one_for_all, one_for_all, scholar=["#### 1"] * 100)


def test_a_teacher_below_its_floor_fails_the_contract(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.97, "teacher_at_least": 0.9}
    weak = make_gate(settings, REFERENCES, right(60), scholar=right(60))
    assert weak["verdict"] == "fail"
    assert weak["summary"].endswith("the teacher is below its own floor of 0.9")
    assert make_gate(settings, REFERENCES, right(90), scholar=right(90))["verdict"] == "pass"


def test_an_absolute_contract_asks_the_student_alone(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    settings = {"metric": "final_answer", "at_least": 0.8}
    assert make_gate(settings, REFERENCES, right(80), scholar=right(100))["verdict"] == "pass"
    found = make_gate(settings, REFERENCES, right(70), scholar=right(70))
    assert found["verdict"] == "fail" and found["shortfall"] == pytest.approx(0.1)
    assert "final_answer >= 0.8: fail, short by 0.1" in found["summary"]
    with pytest.raises(ValueError, match="or both"):
        Settings.from_json({"metric": "x", "teacher_at_least": 0.5})


@pytest.mark.parametrize(
    ("kept", "at_least", "verdict", "summary"),
    [
        (90, 0.8, "pass", ">= 0.9 and final_answer >= 0.8: pass"),
        (75, 0.8, "fail", ">= 0.9 and final_answer >= 0.8: fail, short by 0.15"),
        (90, 0.95, "fail", ">= 0.9 and final_answer >= 0.95: fail, short by 0.05"),
    ],
)
def test_a_share_and_a_floor_must_both_hold(
    make_gate: Callable[..., dict[str, Any]],
    kept: int,
    at_least: float,
    verdict: str,
    summary: str,
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.9, "at_least": at_least}
    found = make_gate(settings, REFERENCES, right(kept), scholar=right(100))
    assert found["verdict"] == verdict and found["summary"].endswith(summary)


def test_one_open_condition_leaves_the_verdict_open(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.5, "confidence": 0.95}
    answers = {"student": right(90), "scholar": right(95)}
    assert make_gate(settings, REFERENCES, **answers)["verdict"] == "pass"
    found = make_gate({**settings, "at_least": 0.88}, REFERENCES, **answers)
    assert found["verdict"] == "inconclusive" and found["items_to_settle"] > 100


def test_lower_is_better_the_right_way_round(make_gate: Callable[..., dict[str, Any]]) -> None:
    references = ["abcd"] * 40

    def likelihoods(bits: float) -> list[dict[str, Any]]:
        spread = [0.5, 1.5] * 20
        return [{"answer": "", "log_prob": -4 * bits * s * math.log(2), "bytes": 4} for s in spread]

    settings = {"metric": "bits_per_byte", "retain_fraction": 0.9}
    good = make_gate(settings, references, likelihoods(2.2), t=likelihoods(2.0))
    assert good["verdict"] == "pass" and good["retained"] == pytest.approx(2 / 2.2, abs=1e-5)
    assert make_gate(settings, references, likelihoods(2.4), t=likelihoods(2))["verdict"] == "fail"
    two = make_gate(settings, references, likelihoods(2), worse=likelihoods(3), best=likelihoods(2))
    assert two["teacher"] == "best"
    absolute = {"metric": "bits_per_byte", "at_least": 2.1}
    assert make_gate(absolute, references, likelihoods(2), t=likelihoods(2))["verdict"] == "pass"
    failed = make_gate(absolute, references, likelihoods(2.5), t=likelihoods(2))
    assert failed["verdict"] == "fail" and failed["shortfall"] == pytest.approx(0.4)
    with pytest.raises(ValueError, match="nothing to retain"):
        make_gate(settings, references, likelihoods(2), t=likelihoods(9))


def test_answers_of_another_eval_are_refused(make_gate: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"scholar: 99 answers for 100 items; none for .*rebuild"):
        make_gate(
            {"metric": "final_answer", "retain_fraction": 0.9},
            REFERENCES,
            right(100),
            scholar=right(100)[:99],
        )


def test_unseen_structures_are_reported_by_themselves(
    make_gate: Callable[..., dict[str, Any]],
) -> None:
    found = make_gate(
        {"metric": "final_answer", "retain_fraction": 0.5},
        REFERENCES,
        right(75),
        held_out=range(70, 80),
        scholar=right(100),
    )
    assert found["held_out"] == {
        "items": 10,
        "teacher_score": 1.0,
        "student_score": 0.5,
        "retained": 0.5,
    }


def test_what_the_backbone_scores_alone_stands_beside_it(
    make_gate: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    settings = {"metric": "final_answer", "retain_fraction": 0.5}
    assert make_gate(settings, REFERENCES, right(90), scholar=right(95))["backbone_only"] is None
    rows = [{"id": item_id(n), "answer": text} for n, text in enumerate(right(10)[:40])]
    write_rows(tmp_path / "score" / "backbone.jsonl", rows)
    found = make_gate(settings, REFERENCES, right(30), scholar=right(32))
    assert found["backbone_only"] == {"items": 40, "score": 0.25, "with_adapter": 0.75}


@given(
    st.floats(0.5, 1.2),
    st.floats(0, 0.2),
    st.floats(0, 0.2),
    st.floats(0.5, 1.2),
    st.floats(0, 0.2),
)
def test_a_lower_threshold_never_makes_a_verdict_worse(
    value: float, below: float, above: float, threshold: float, lowered: float
) -> None:
    bounds = (value - below, value + above)
    estimate = Estimate(value, bounds, *bounds, 0.95, 100)
    order = ["fail", "inconclusive", "pass"]
    for confidence in (None, 0.95):
        strict = judge(estimate, threshold, confidence)
        easy = judge(estimate, threshold - lowered, confidence)
        assert order.index(easy.verdict) >= order.index(strict.verdict)
        assert easy.shortfall <= strict.shortfall
        assert (strict.verdict == "pass") <= (strict.shortfall == 0)


def test_the_gate_of_a_router_runs_the_packed_router(
    make_job: Callable[..., Job],
    packed_router: Path,
    packed_backbones: dict[str, Path],
    student_tokenizer: Path,
    datasets: dict[str, Path],
) -> None:
    names = json.loads((packed_router / "router.json").read_text(encoding="utf-8"))["capabilities"]
    inputs = {
        "router": packed_router,
        "backbone": packed_backbones["int8"],
        "tokenizer": student_tokenizer,
        **{f"eval/{name}": datasets[name] / "eval.jsonl" for name in names},
    }
    job = make_job("gate:router", {"metric": "accuracy", "at_least": 0.5}, inputs=inputs)
    build_router(job)
    found, items = read_json(job.out / "verdict.json"), read_rows(job.out / "items.jsonl")
    assert found["contract"] == "router" and found["items"] == len(items) == 24 * len(names)
    share = np.mean([item["routed"] == item["expected"] for item in items])
    assert found["score"] == pytest.approx(share, abs=1e-6)
    assert found["verdict"] == ("pass" if share >= 0.5 else "fail")
    assert np.mean(list(found["per_capability"].values())) == pytest.approx(share, abs=1e-5)
    with pytest.raises(ValueError, match="at_least"):
        build_router(make_job("gate:router", {"metric": "accuracy", "retain_fraction": 0.9}))
