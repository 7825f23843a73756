"""The section on training: the loss as it fell, on training and on validation rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from nexusbuild.plugins import TargetOverview
from targets.report.axes import Words, percent, plain
from targets.report.charts import Series, line_chart
from targets.report.facts import Project
from targets.report.markup import tag

LOG = "training_log.jsonl"


def training(project: Project) -> list[Element]:
    """A chart for everything that was trained."""
    cards = [_card(each) for each in project.with_output(LOG)]
    found = [each for each in cards if each is not None]
    return [tag("div", *found, class_="cards")] if found else [tag("p", "Nothing is trained yet.")]


def _card(target: TargetOverview) -> Element | None:
    rows = _rows(target.outputs[LOG])
    lines = [
        Series(name, points, place)
        for place, (name, field) in enumerate(
            (("training rows", "loss"), ("validation rows", "validation_loss"))
        )
        if (points := _points(rows, field))
    ]
    if not lines:
        return None
    label = f"{target.id}: loss by optimiser step"
    chart = line_chart(lines, label, "step", log=True)
    parts = [tag("h3", target.id), chart]
    if text := _outcome(rows):
        parts.append(tag("p", text, class_="small"))
    return tag("div", *parts, class_="card")


def _rows(log: Path) -> list[dict[str, Any]]:
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if isinstance(row, dict):
            found.append(row)
    return found


def _points(rows: list[dict[str, Any]], field: str) -> list[tuple[float, float]]:
    """(step, value), steps of later rounds behind those of earlier ones."""
    last: dict[int, int] = {}
    for row in rows:
        round_ = int(row.get("round", 0))
        last[round_] = max(last.get(round_, 0), int(row.get("step", 0)))
    before = {each: sum(last[one] for one in last if one < each) for each in last}
    return [
        (float(before[int(row.get("round", 0))] + row["step"]), float(row[field]))
        for row in rows
        if field in row and "step" in row
    ]


def _outcome(rows: list[dict[str, Any]]) -> str:
    """What the log says besides: what was retained, and what recovery had to do."""
    known: Mapping[str, tuple[Words, str]] = {
        "validation_retained": (plain, "retained on validation rows"),
        "aligned": (percent, "of the tokens aligned with the teacher's"),
    }
    said = [
        f"{written(row[field])} {words}"
        + (f" after round {row['round'] + 1}" if row.get("round") else "")
        for field, (written, words) in known.items()
        for row in rows
        if isinstance(row.get(field), (int, float))
    ]
    events = [
        f"{row['event']} at step {row['step']}"
        for row in rows
        if row.get("event") in ("recovered", "rolled back")
    ]
    return "; ".join([*said, *events])
