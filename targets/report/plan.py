"""Sections on the graph: what stands where, what is stale and why, what each target took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from nexusbuild.plugins import TargetOverview
from targets.report.charts import share_bar
from targets.report.facts import MARKS, Project, duration, size
from targets.report.graph_picture import graph_picture
from targets.report.markup import Child, table, tag

UNFOLDED, SHOWN_REASONS = 10, 3


def stale_now(project: Project) -> list[Element]:
    """The plan: what a build would do today."""
    targets = project.overview.targets
    waiting = [each for each in targets if each.state != "fresh"]
    found = [tag("p", *_outlook(targets, waiting))]
    if waiting:
        found.append(tag("ul", *map(_why, waiting[:UNFOLDED]), class_="plan"))
    if len(waiting) > UNFOLDED:
        rest = tag("ul", *map(_why, waiting[UNFOLDED:]), class_="plan")
        found.append(tag("details", tag("summary", f"{len(waiting) - UNFOLDED} more"), rest))
    if notes := project.overview.notes:
        said = tag("ul", *(tag("li", note) for note in notes), class_="small")
        count = f"{len(notes)} notes" if len(notes) > 1 else "1 note"
        found.append(tag("details", tag("summary", count), said))
    return found


def _outlook(targets: Sequence[TargetOverview], waiting: Sequence[TargetOverview]) -> list[Child]:
    """What a build would come to."""
    if not waiting:
        return [f"Nothing: all {len(targets)} targets are fresh."]
    if all(each.state == "blocked" for each in waiting):
        return [f"{_count_states(targets)}. Nothing can be built before what is missing is there."]
    seconds = [each.expected_seconds for each in waiting if each.state in ("stale", "maybe")]
    known = sum(each for each in seconds if each is not None)
    takes = f", about {duration(known)}" if known else ""
    return [
        f"{_count_states(targets)}. ",
        tag("code", "nexusbuild"),
        f" builds what it can{takes}.",
    ]


def graph(project: Project) -> list[Element]:
    """The graph with the state of each target."""
    targets = project.overview.targets
    states = dict(Counter(each.state for each in targets))
    legend = [
        tag("span", tag("i", MARKS[state], class_=f"chip {state}"), f" {state} {count}")
        for state, count in sorted(states.items(), key=lambda pair: list(MARKS).index(pair[0]))
    ]
    hint = tag("p", "Touch a target to see what it needs and what needs it.", class_="hint")
    picture = tag("div", graph_picture(targets), class_="scroll", tabindex="0")
    return [tag("p", *legend, class_="legend"), picture, hint]


def time_and_memory(project: Project) -> list[Element]:
    """What each target took when it was last built, the longest first."""
    built = [each for each in project.overview.targets if each.provenance]
    if not built:
        return [tag("p", "Nothing is built yet.")]
    built.sort(key=lambda each: -_figure(each, "seconds"))
    longest = max(_figure(each, "seconds") for each in built) or 1.0
    largest = max(_figure(each, "peak_rss_bytes") for each in built) or 1.0
    total = sum(_figure(each, "seconds") for each in built)
    rows: list[list[Child]] = [_row(each, longest, largest) for each in built]
    heads = ["target", "time", "", "peak memory", "", "result", "built"]
    text = (
        f"{duration(total)} summed over {len(built)} targets, some of which ran side by side; "
        f"the largest held {size(largest)}."
    )
    return [tag("p", text), *_fold_table(heads, rows, "figures")]


def _row(target: TargetOverview, longest: float, largest: float) -> list[Child]:
    seconds, peak = (_figure(target, name) for name in ("seconds", "peak_rss_bytes"))
    return [
        tag("code", target.id),
        duration(seconds),
        share_bar(seconds / longest, f"{duration(seconds)} of at most {duration(longest)}"),
        size(peak) if peak else "–",
        share_bar(peak / largest, f"{size(peak)} of at most {size(largest)}"),
        size(target.bytes),
        str(target.provenance.get("finished", "–"))[:16].replace("T", " "),
    ]


def _figure(target: TargetOverview, name: str) -> float:
    value = target.provenance.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _state(target: TargetOverview) -> Element:
    text = f"{MARKS[target.state]} {target.state}"
    if target.last_build == "failed":
        text += ", failed in its last build"
    return tag("span", text, class_=f"chip {target.state}")


def _count_states(targets: Sequence[TargetOverview]) -> str:
    states = Counter(each.state for each in targets)
    return ", ".join(f"{states[state]} {state}" for state in MARKS if states[state])


def _why(target: TargetOverview) -> Element:
    """A target that is not fresh, and what of it changed."""
    more = len(target.reasons) - SHOWN_REASONS
    shown = [*target.reasons[:SHOWN_REASONS], *([f"and {more} more"] if more > 0 else [])]
    return tag("li", _state(target), " ", tag("code", target.id), " ",
               tag("span", "; ".join(shown), class_="small"))  # fmt: skip


def _fold_table(heads: list[str], rows: list[list[Child]], class_: str) -> list[Element]:
    """A table; what is too long of it behind a line that opens it."""
    shown = table(heads, rows[:UNFOLDED], class_)
    if len(rows) <= UNFOLDED:
        return [shown]
    rest = table(heads, rows[UNFOLDED:], class_)
    return [shown, tag("details", tag("summary", f"{len(rows) - UNFOLDED} more"), rest)]
