"""The items of a gate, one by one: what was asked, what teacher and student answered, how it went.

Everything comes from files of one result of the gate and of what it was made from, so that the
answers are those that were judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from modalities.json_files import read_json, read_rows
from modalities.text.harness.metric import PREFIX

Which = Literal["lost", "gained", "all"]
VERDICT, ITEMS, EVAL, HARNESS = "verdict.json", "items.jsonl", "eval.jsonl", "harness.jsonl"


@dataclass(frozen=True)
class Item:
    """One `eval` prompt. change: how much better the student scored than the teacher; negative
    where something was lost, whichever way the metric goes. held_out: training had no such row.
    """

    id: str
    prompt: str
    reference: str
    teacher_answer: str
    student_answer: str
    teacher_score: float
    student_score: float
    change: float
    held_out: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Items:
    """All items of a capability's gate. teacher: the best one, with which it was compared.

    graded: scores are not just right or wrong.
    """

    capability: str
    teacher: str
    metric: str
    verdict: str
    graded: bool
    every: tuple[Item, ...]

    def chosen(self, which: Which) -> list[Item]:
        """Those lost or gained, the largest change first; or all, in the order of `eval`."""
        if which == "all":
            return list(self.every)
        sign = -1 if which == "lost" else 1
        changed = [item for item in self.every if sign * item.change > 0]
        return sorted(changed, key=lambda item: -sign * item.change)


def read_items(
    capability: str, outputs: Mapping[str, Path], inputs: Mapping[str, Mapping[str, Path]]
) -> Items:
    """The items of a result of `gate:<capability>`, from its outputs and inputs: role -> files.

    Raises KeyError where one of these files is not among them.
    """
    verdict = read_json(outputs[VERDICT])
    teacher = verdict["teacher"]
    sign = 1.0 if verdict.get("higher_is_better", True) else -1.0
    harness = verdict["metric"].startswith(PREFIX)
    answers = HARNESS if harness else EVAL
    theirs = _by_id(read_rows(inputs[f"baseline/{teacher}"][answers]))
    ours = _by_id(read_rows(inputs["score"][answers]))
    rows = ours if harness else _by_id(read_rows(inputs["eval"][EVAL]))
    found = []
    for scores in read_rows(outputs[ITEMS]):
        row = rows[scores["id"]]
        before, after = float(scores["teacher"]), float(scores["student"])
        found.append(
            Item(
                id=scores["id"],
                prompt=row["prompt"],
                reference=row["reference"] if harness else row["answer"],
                teacher_answer=theirs[scores["id"]]["answer"],
                student_answer=ours[scores["id"]]["answer"],
                teacher_score=before,
                student_score=after,
                change=sign * (after - before),
                held_out=bool(row.get("held_out")),
            )
        )
    values = {score for item in found for score in (item.teacher_score, item.student_score)}
    return Items(
        capability, teacher, verdict["metric"], verdict["verdict"], not values <= {0.0, 1.0},
        tuple(found),
    )  # fmt: skip


def _by_id(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}
