"""The graph as a picture: a box per target in rows that need only those above them.

Rows are filled in topological order, no wider than asked for (Coffman and Graham 1972, without
their order of labels); within a row, boxes stand below the middle of what they need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from nexusbuild.plugins import TargetOverview
from targets.report.facts import MARKS
from targets.report.markup import tag

WIDTH, HEIGHT, GAP_X, GAP_Y = 126, 40, 10, 34
LETTERS = 16


def graph_picture(targets: Sequence[TargetOverview]) -> Element:
    """Boxes with kind, name and state, and lines to what they need."""
    rows = place_rows(targets)
    widest = max(map(len, rows))
    across, down = WIDTH + GAP_X, HEIGHT + GAP_Y
    where = {
        each.id: (across * (column + (widest - len(row)) / 2), down * line)
        for line, row in enumerate(rows)
        for column, each in enumerate(row)
    }
    size = (across * widest - GAP_X, down * len(rows) - GAP_Y)
    label = f"{len(targets)} targets and what they need"
    svg = tag("svg", tag("title", label), viewBox=f"-2 -2 {size[0] + 4} {size[1] + 4}", role="img",
              class_="graph", style=f"min-width:{round(0.8 * size[0])}px;max-width:{size[0]}px",
              aria_label=label)  # fmt: skip
    lines, boxes = tag("g", class_="edges"), tag("g")
    for target in targets:
        for each in target.inputs:
            lines.append(_line(where[each], where[target.id], each, target.id))
        boxes.append(_box(target, *where[target.id]))
    svg.extend([lines, boxes])
    return svg


def place_rows(targets: Sequence[TargetOverview]) -> list[list[TargetOverview]]:
    """The rows. targets: each after what it needs."""
    most = max(6, math.ceil(math.sqrt(len(targets))))
    row_of: dict[str, int] = {}
    rows: list[list[TargetOverview]] = []
    for target in targets:
        at = max((row_of[each] + 1 for each in target.inputs), default=0)
        while at < len(rows) and len(rows[at]) >= most:
            at += 1
        while at >= len(rows):
            rows.append([])
        rows[at].append(target)
        row_of[target.id] = at
    middle: dict[str, float] = {}
    for place, row in enumerate(rows):
        row.sort(key=lambda each: _wanted_place(each, middle))
        rows[place] = row
        for column, each in enumerate(row):
            middle[each.id] = column + (most - len(row)) / 2
    return rows


def _wanted_place(target: TargetOverview, middle: Mapping[str, float]) -> float:
    above = [middle[each] for each in target.inputs]
    return sum(above) / len(above) if above else 0.0


def _line(start: tuple[float, float], end: tuple[float, float], one: str, other: str) -> Element:
    x, y = start[0] + WIDTH / 2, start[1] + HEIGHT
    to_x, to_y = end[0] + WIDTH / 2, end[1]
    bend = max(GAP_Y / 2, (to_y - y) / 2.5)
    start_bend, end_bend = f"{x:.0f},{y + bend:.0f}", f"{to_x:.0f},{to_y - bend:.0f}"
    path = f"M{x:.0f},{y:.0f}C{start_bend} {end_bend} {to_x:.0f},{to_y:.0f}"
    return tag("path", d=path, data_from=one, data_to=other)


def _box(target: TargetOverview, x: float, y: float) -> Element:
    kind, _, name = target.id.partition(":")
    mark = MARKS[target.state]
    reasons = "".join(f"\n{each}" for each in target.reasons[:4])
    return tag(
        "g",
        tag("title", f"{target.id}: {target.state}{reasons}"),
        tag("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=5),
        tag("text", f"{mark} {_short(kind, LETTERS)}", class_="kind", x=x + 7, y=y + 15),
        tag("text", _short_name(name or kind), class_="name", x=x + 7, y=y + 31),
        class_=f"node {target.state}",
        data_id=target.id,
        tabindex="0",
        role="button",
        aria_label=f"{target.id}: {target.state}",
    )


def _short_name(name: str) -> str:
    """Of `teacher/capability` the teacher gives way, for its targets stand side by side."""
    first, slash, last = name.partition("/")
    if len(name) <= LETTERS or not slash:
        return _short(name, LETTERS)
    return f"{_short(first, max(4, LETTERS - 1 - len(last)))}/{_short(last, LETTERS - 5)}"


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
