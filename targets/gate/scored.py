"""What the answers of teachers and student score on the items that a capability is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modalities.json_files import read_json, read_rows
from modalities.metric import Metric, Row
from targets.gate.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


@dataclass(frozen=True)
class Scored:
    """What one model's answers to the items scored: one each, in the metric's unit."""

    name: str
    scores: list[float]
    total: float


def asked(job: Job, settings: Settings) -> tuple[Metric, Sequence[Row], Sequence[Row]]:
    """The metric, the items, and the student's answers to them. The items of a harness task stand
    with the answers; those of a metric are the input `eval`.
    """
    folder = job.inputs["score"]
    if "eval" in job.inputs:
        answers = read_rows(folder / "eval.jsonl")
        return job.load("metric").METRIC, read_rows(job.inputs["eval"]), answers
    harness = job.load("harness").HarnessMetric.named(settings.metric)
    answered = read_rows(folder / "harness.jsonl")
    answers = [row for row in answered if row["task"] == harness.task]
    return harness.metric_of(read_json(folder / "harness.json")), answers, answers


def score_rows(
    name: str, metric: Metric, rows: Sequence[Row], answered: Sequence[Row], weights: Any
) -> Scored:
    """A model's scores on the rows, paired by id."""
    tasks = {row.get("task") for row in rows}
    answers = {answer["id"]: answer for answer in answered if answer.get("task") in tasks}
    missing = [row["id"] for row in rows if row["id"] not in answers]
    if missing or len(answers) != len(rows):
        raise ValueError(
            f"{name}: {len(answers)} answers for {len(rows)} items"
            + (f"; none for {missing[0]} and {len(missing) - 1} more" if missing else "")
            + "; the answers are of another `eval`: rebuild what made them"
        )
    scores = metric.score_rows(rows, [answers[row["id"]] for row in rows])
    return Scored(name, scores, float(metric.aggregate(scores, weights)))


def on_held_out(
    metric: Metric, rows: Sequence[Row], best: Scored, student: Scored
) -> dict[str, Any] | None:
    """The same comparison on the items whose structure training never had, where any are marked."""
    chosen = [index for index, row in enumerate(rows) if row.get("held_out")]
    if not chosen:
        return None
    weights = metric.weights([rows[index] for index in chosen])
    teacher = metric.aggregate([best.scores[index] for index in chosen], weights)
    reached = metric.aggregate([student.scores[index] for index in chosen], weights)
    return {
        "items": len(chosen),
        "teacher_score": float(teacher),
        "student_score": float(reached),
        "retained": float(metric.ratio(teacher, reached)),
    }


def of_backbone_alone(
    metric: Metric, rows: Sequence[Row], student: Scored, folder: Path
) -> dict[str, Any] | None:
    """What the backbone scores without its adapter, and what it scores with it on these items.

    None where it was not asked about any: a harness task asks the whole student.
    """
    file = folder / "backbone.jsonl"
    answers = {row["id"]: row for row in read_rows(file)} if file.exists() else {}
    chosen = [index for index, row in enumerate(rows) if row["id"] in answers]
    if not chosen:
        return None
    asked = [rows[index] for index in chosen]
    weights = metric.weights(asked)
    alone = metric.score_rows(asked, [answers[row["id"]] for row in asked])
    return {
        "items": len(asked),
        "score": float(metric.aggregate(alone, weights)),
        "with_adapter": float(
            metric.aggregate([student.scores[index] for index in chosen], weights)
        ),
    }
