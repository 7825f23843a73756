"""Sections on contracts: what was retained, how that went in earlier builds, what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from nexusbuild.plugins import BuildOverview, TargetOverview
from targets.gate.items import Item, Items, read_items
from targets.report.axes import plain
from targets.report.charts import Series, interval_chart, line_chart
from targets.report.facts import VERDICTS, Project, day, duration
from targets.report.markup import Child, table, tag

ROUTER = "gate:router"
SHOWN_LOST = 3
LONGEST = 400  # characters of a prompt or an answer
SHOWN_BUILDS = 20


def retention(project: Project) -> list[Element]:
    """A card for every contract: the figure, its interval, the least that is asked for."""
    cards = [_card(each) for each in project.with_verdict()]
    if not cards:
        return [tag("p", "No contract is judged yet.")]
    return [tag("div", *cards, class_="cards")]


def _card(target: TargetOverview) -> Element:
    verdict = dict(target.verdict or {})
    name, word = str(verdict.get("contract", target.id)), str(verdict.get("verdict"))
    figure = _figure(verdict)
    parts: list[Child] = [
        tag("h3", name, " ", tag("span", VERDICTS.get(word, word), class_=f"verdict {word}")),
    ]
    if figure is not None and verdict.get("interval"):
        low, high = (float(each) for each in verdict["interval"])
        least = _least(verdict)
        what = "retained" if "retained" in verdict else str(verdict.get("metric", "score"))
        share = verdict.get("interval_confidence", 0.95)
        text = f"{what} {figure:.3f}, {100 * share:.0f} % interval {low:.3f} to {high:.3f}"
        parts += [tag("p", text), interval_chart(figure, (low, high), least, f"{name}: {text}")]
    parts.append(tag("p", _scores(verdict), class_="small"))
    if target.state not in ("fresh", "cached"):
        text = f"Of the last build: {target.id} is {target.state} by now."
        parts.append(tag("p", text, class_="small"))
    return tag("div", *parts, class_="card")


def _figure(verdict: Mapping[str, Any]) -> float | None:
    value = verdict.get("retained", verdict.get("score"))
    return float(value) if isinstance(value, (int, float)) else None


def _least(verdict: Mapping[str, Any]) -> float | None:
    field = "retain_fraction" if "retained" in verdict else "at_least"
    value = verdict.get(field)
    return float(value) if isinstance(value, (int, float)) else None


def _scores(verdict: Mapping[str, Any]) -> str:
    parts = []
    if "student_score" in verdict:
        teacher = verdict.get("teacher")
        parts.append(
            f"student {verdict['student_score']:.3f}, teacher {teacher} "
            f"{verdict.get('teacher_score', 0.0):.3f} by {verdict.get('metric')}"
        )
    if verdict.get("items"):
        parts.append(f"{verdict['items']:,} held-out prompts")
    held_out = verdict.get("held_out")
    if isinstance(held_out, dict) and isinstance(held_out.get("retained"), (int, float)):
        parts.append(f"{held_out['retained']:.3f} retained on kinds that training never had")
    if verdict.get("items_to_settle"):
        parts.append(f"about {verdict['items_to_settle']:,} prompts would settle it")
    return "; ".join(parts)


def earlier_builds(project: Project) -> list[Element]:
    """How contracts went from build to build."""
    builds = list(project.overview.builds)
    if not builds:
        return [tag("p", "No build has run yet.")]
    gates = list(dict.fromkeys(gate for build in builds for gate in build.verdicts))
    found: list[Element] = []
    lines = [_course(gate, place, builds) for place, gate in enumerate(gates)]
    lines = [each for each in lines if each.points]
    if len({number for each in lines for number, _ in each.points}) > 1:
        label = "retained, by build"
        found.append(tag("div", line_chart(lines, label, "build"), class_="cards"))
    heads = ["build", "when", "took", *(gate.partition(":")[2] for gate in gates), "did", "by"]
    rows = [_build_row(build, gates) for build in reversed(builds[-SHOWN_BUILDS:])]
    found.append(table(heads, rows, "figures"))
    if len(builds) > SHOWN_BUILDS:
        found.append(tag("p", f"The last {SHOWN_BUILDS} of {len(builds)}; ",
                         tag("code", "nexusbuild log"), " lists all."))  # fmt: skip
    return found


def _course(gate: str, place: int, builds: Sequence[BuildOverview]) -> Series:
    points = []
    for build in builds:
        figure = _figure(build.verdicts[gate]) if gate in build.verdicts else None
        if figure is not None:
            points.append((float(build.number), figure))
    return Series(gate.partition(":")[2], points, place, mark=points[-1] if points else None)


def _build_row(build: BuildOverview, gates: Sequence[str]) -> list[Child]:
    states = list(build.states.values())
    did = ", ".join(
        f"{states.count(each)} {each}" for each in dict.fromkeys(states)
    ) or "nothing to do"  # fmt: skip
    if build.exit_code is None:
        did += ", killed"
    elif build.exit_code:
        did += f", exit code {build.exit_code}"
    return [
        str(build.number),
        day(build.started),
        duration(build.seconds),
        *(_score(build.verdicts.get(gate)) for gate in gates),
        did,
        tag("code", build.command),
    ]


def _score(verdict: Mapping[str, Any] | None) -> Child:
    if verdict is None:
        return "–"
    figure, word = _figure(verdict), str(verdict.get("verdict"))
    mark = VERDICTS.get(word, word).split()[0]
    text = f"{mark} {figure:.3f}" if figure is not None else mark
    return tag("span", text, class_=f"verdict {word}")


def lost(project: Project) -> list[Element]:
    """Some prompts of each capability that the teacher got right and the student did not."""
    found = []
    for target in project.of_kind("gate"):
        items = _items(project, target)
        if items is not None:
            found.append(_lost_of(items))
    return found or [tag("p", "No answers are judged yet.")]


def _items(project: Project, target: TargetOverview) -> Items | None:
    """None for the router, which has no teacher, and where files are gone."""
    if target.id == ROUTER:
        return None
    result = project.result_of(target.id)
    if result is None or result.missing:
        return None
    try:
        return read_items(target.id.partition(":")[2], result.outputs, result.inputs)
    except (KeyError, OSError, ValueError):
        return None  # of a version that kept other files


def _lost_of(items: Items) -> Element:
    chosen = items.chosen("lost")
    text = f"{items.capability}: {len(chosen):,} lost, {len(items.chosen('gained')):,} gained"
    parts: list[Child] = [_item(items, each) for each in chosen[:SHOWN_LOST]]
    if len(chosen) > SHOWN_LOST:
        command = f"nexusbuild items {items.capability} --number {len(chosen)}"
        parts.append(tag("p", "All of them: ", tag("code", command)))
    if not chosen:
        parts.append(tag("p", "No prompt was lost."))
    return tag("details", tag("summary", text), *parts)


def _item(items: Items, item: Item) -> Element:
    left = _answer(f"teacher {items.teacher}", item.teacher_answer, item.teacher_score, items)
    right = _answer("student", item.student_answer, item.student_score, items)
    parts: list[Child] = [tag("p", tag("b", "prompt")), tag("pre", _cut(item.prompt))]
    if item.reference:
        parts += [tag("p", tag("b", "reference")), tag("pre", _cut(item.reference))]
    return tag("div", *parts, tag("div", left, right, class_="pair"), class_="item")


def _answer(who: str, answer: str, score: float, items: Items) -> Element:
    how = plain(score) if items.graded else ("✓ right" if score else "✕ wrong")
    return tag("div", tag("p", tag("b", who), f": {how}"), tag("pre", _cut(answer) or "(nothing)"))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
