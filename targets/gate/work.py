"""Judge what was scored against the contracts. No model is loaded for a capability's gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modalities.json_files import read_rows, write_json, write_rows
from modalities.metric import Metric, Row
from targets.gate.scored import Scored, asked, of_backbone_alone, on_held_out, score_rows
from targets.gate.settings import Settings
from targets.gate.statistics import Estimate, retained_estimate, score_estimate
from targets.gate.verdict import (
    REPORTED_CONFIDENCE,
    Condition,
    Verdict,
    in_words,
    judged_by_all,
)

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

DIGITS = 6
ROUTED_AT_ONCE = 256


def build_capability(job: Job) -> None:
    """Write `verdict.json` and `items.jsonl`: the student against its best single teacher.

    Raises ValueError where items do not pair, and where the best teacher is no better than
    chance: there is nothing to retain then.
    """
    settings = Settings.from_json(job.settings)
    metric, rows, answers = asked(job, settings)
    weights = metric.weights(rows)
    baselines = {
        role.partition("/")[2]: path
        for role, path in job.inputs.items()
        if role.startswith("baseline/")
    }
    teachers: list[Scored] = []
    for number, (name, path) in enumerate(sorted(baselines.items())):
        teachers.append(score_rows(name, metric, rows, read_rows(path), weights))
        job.progress(number + 1, len(baselines) + 1)
    student = score_rows("student", metric, rows, answers, weights)
    best = _best(job.target, metric, teachers, metric.chance(rows))

    confidence = settings.confidence or REPORTED_CONFIDENCE
    retained = retained_estimate(
        metric, best.scores, student.scores, weights, seed=job.seed, confidence=confidence
    )
    of_student = score_estimate(
        metric, student.scores, weights, seed=job.seed, confidence=confidence
    )
    conditions = _conditions(settings, metric, retained, of_student)
    deciding, verdict = judged_by_all(conditions, settings.confidence)
    rule = " and ".join(condition.rule for condition in conditions)
    if _below_floor(settings, metric, best):
        # A weak teacher must not make the contract easy.
        verdict = Verdict("fail", verdict.shortfall, None)
    write_rows(
        job.out / "items.jsonl",
        (
            {"id": row["id"], "teacher": ours, "student": theirs}
            for row, ours, theirs in zip(rows, best.scores, student.scores, strict=True)
        ),
    )
    contract = job.target.partition(":")[2]
    document = {
        **_judgement_json(metric, rows, settings, rule, verdict),
        **_estimate_json(retained, "retained"),
        "summary": f"{contract}: student {of_student.value:.3f}, "
        f"teacher {best.name} {best.total:.3f}, retained {retained.value:.3f} "
        f"({_interval(retained)}) {rule}: "
        f"{in_words(verdict, deciding.estimate, settings.confidence)}"
        + _on_the_floor(settings, metric, best),
        "contract": contract,
        "higher_is_better": metric.higher_is_better,
        "teacher": best.name,
        "teacher_score": best.total,
        "teachers": {teacher.name: teacher.total for teacher in teachers},
        "student_score": student.total,
        "retain_fraction": settings.retain_fraction,
        "teacher_at_least": settings.teacher_at_least,
        "held_out": on_held_out(metric, rows, best, student),
        "backbone_only": of_backbone_alone(metric, rows, student, job.inputs["score"]),
    }
    write_json(job.out / "verdict.json", _round_floats(document))


def _best(target: str, metric: Metric, teachers: Sequence[Scored], chance: float) -> Scored:
    """The best single teacher. Raises ValueError where there is none to compare with."""
    if not teachers:
        raise ValueError(f"{target}: no teacher's baseline to compare with")
    best = teachers[0]
    for teacher in teachers[1:]:
        best = teacher if metric.is_better(teacher.total, best.total) else best
    if not metric.is_better(best.total, chance):
        raise ValueError(
            f"{target}: teacher {best.name} scores {best.total:.3f} {metric.unit} where chance "
            f"is {chance:.3f}, so there is nothing to retain; train the teacher longer, or check "
            "its prompt template and the data set"
        )
    return best


def build_router(job: Job) -> None:
    """Write `verdict.json` and `items.jsonl`: the packed router on every capability's `eval`."""
    # Imported here: a capability's gate is arithmetic, and starts without a model's libraries.
    from nexus.router import Router

    settings = Settings.from_json(job.settings)
    metric = job.load("metric").METRIC
    if settings.at_least is None:
        raise ValueError(f"{job.target}: the router's contract is `at_least`; it has no teacher")
    names = [role.partition("/")[2] for role in job.inputs if role.startswith("eval/")]
    items = [
        {"id": row["id"], "prompt": row["prompt"], "answer": name}
        for name in sorted(names)
        for row in read_rows(job.inputs[f"eval/{name}"])
    ]
    router = Router.load(job.inputs["router"], job.inputs["backbone"], job.inputs["tokenizer"])
    routed: list[str] = []
    for start in range(0, len(items), ROUTED_AT_ONCE):
        routes = router.route([item["prompt"] for item in items[start : start + ROUTED_AT_ONCE]])
        routed += [route.capability or "" for route in routes]
        job.progress(len(routed), len(items))
    scores = metric.score_rows(items, routed)
    estimate = score_estimate(
        metric,
        scores,
        metric.weights(items),
        seed=job.seed,
        confidence=settings.confidence or REPORTED_CONFIDENCE,
    )
    condition = _level(metric, estimate, settings.at_least)
    condition, verdict = judged_by_all([condition], settings.confidence)
    write_rows(
        job.out / "items.jsonl",
        (
            {"id": item["id"], "expected": item["answer"], "routed": route, "score": score}
            for item, route, score in zip(items, routed, scores, strict=True)
        ),
    )
    per_capability = {
        name: float(
            metric.aggregate(
                [score for item, score in zip(items, scores, strict=True) if item["answer"] == name]
            )
        )
        for name in sorted(names)
    }
    document = {
        **_judgement_json(metric, items, settings, condition.rule, verdict),
        **_estimate_json(estimate, "score"),
        "summary": f"router: {metric.name} {estimate.value:.3f} ({_interval(estimate)}) "
        f"{condition.rule}: {in_words(verdict, estimate, settings.confidence)}",
        "contract": "router",
        "per_capability": per_capability,
    }
    write_json(job.out / "verdict.json", _round_floats(document))


def _conditions(
    settings: Settings, metric: Metric, retained: Estimate, of_student: Estimate
) -> list[Condition]:
    """What must hold of the two estimates."""
    conditions = []
    if settings.retain_fraction is not None:
        rule = f">= {settings.retain_fraction:g}"
        conditions.append(Condition(rule, retained, settings.retain_fraction))
    if settings.at_least is not None:
        conditions.append(_level(metric, of_student, settings.at_least))
    return conditions


def _level(metric: Metric, estimate: Estimate, level: float) -> Condition:
    better = metric.higher_is_better
    rule = f"{metric.name} {'>=' if better else '<='} {level:g}"
    return Condition(rule, estimate, level, better)


def _below_floor(settings: Settings, metric: Metric, best: Scored) -> bool:
    floor = settings.teacher_at_least
    return floor is not None and not metric.meets(best.total, floor)


def _on_the_floor(settings: Settings, metric: Metric, best: Scored) -> str:
    if not _below_floor(settings, metric, best):
        return ""
    return f"; the teacher is below its own floor of {settings.teacher_at_least:g}"


def _interval(estimate: Estimate) -> str:
    low, high = estimate.interval
    return f"{estimate.confidence * 100:g} % {low:.3f}..{high:.3f}"


def _judgement_json(
    metric: Metric, rows: Sequence[Row], settings: Settings, rule: str, verdict: Verdict
) -> dict[str, Any]:
    """What every verdict says."""
    return {
        "verdict": verdict.verdict,
        "metric": metric.name,
        "unit": metric.unit,
        "items": len(rows),
        "chance": metric.chance(rows),
        "rule": rule,
        "at_least": settings.at_least,
        "confidence": settings.confidence,
        "shortfall": verdict.shortfall,
        "items_to_settle": verdict.items_needed,
    }


def _estimate_json(estimate: Estimate, name: str) -> dict[str, Any]:
    return {
        name: estimate.value,
        "interval": list(estimate.interval),
        "lower_bound": estimate.lower_bound,
        "upper_bound": estimate.upper_bound,
        "interval_confidence": estimate.confidence,
    }


def _round_floats(value: Any) -> Any:
    """Floats to six digits; a number that JSON cannot say becomes null."""
    if isinstance(value, float):
        return round(value, DIGITS) if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round_floats(item) for item in value]
    return value
