"""The section on profiles: how variance adds up, which blocks are missed, which heads matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from modalities.json_files import read_json
from nexusbuild.plugins import TargetOverview
from targets.report.axes import percent, plain
from targets.report.charts import Series, bar_chart, heat_map, line_chart
from targets.report.facts import Project
from targets.report.markup import Child, tag

MOST_POINTS = 120


def profiles(project: Project) -> list[Element]:
    """Three charts for every profile."""
    profiled = project.with_output("profile.json", "heads_importance.json")
    found = [_profile(each) for each in profiled]
    return found or [tag("p", "No teacher is profiled yet.")]


def _profile(target: TargetOverview) -> Element:
    summary = read_json(target.outputs["profile.json"])
    heads = read_json(target.outputs["heads_importance.json"])
    check = summary["reconstruction"]
    word = "✓ holds" if check["holds"] else "✕ does not hold"
    text = (
        f"{_words(check['metric'])} {check['whole']:.3f} whole, "
        f"{check['trials'][-1]['metric']:.3f} with only {percent(check['explained_variance'])} "
        f"of the variance of its key blocks: {word}"
    )
    parts: list[Child] = [
        tag("summary", tag("b", summary["profile"]), f": {text}"),
        tag("div", _variance(target, summary), _ablation(summary), _heads(heads), class_="cards"),
        *(tag("p", f"Warning: {each}", class_="small") for each in summary.get("warnings", ())),
    ]
    return tag("details", *parts, open="")


def _variance(target: TargetOverview, summary: Mapping[str, Any]) -> Element:
    lines = []
    for place, layer in enumerate(summary["key_layers"]):
        file = target.outputs.get(f"layer_{layer}_meta.json")
        if file is None:
            continue
        meta = read_json(file)
        rank = meta["k"] - len(meta["massive_channels"])
        curve = meta["curve"]
        shown = min(len(curve), max(8, 2 * rank))
        name = f"block {layer}: {meta['k']} of {meta['d']}"
        mark = (float(rank), curve[rank - 1]) if 0 < rank <= len(curve) else None
        lines.append(Series(name, _thin(curve[:shown]), place, mark=mark))
        if heldout := meta.get("heldout_curve", [])[:shown]:
            lines.append(Series("held-out rows", _thin(heldout), place, thin=True))
    aim = float(summary["reconstruction"]["explained_variance"])
    title = tag("h3", f"Explained variance, aim {percent(aim)}")
    if not lines:
        return tag("div", title, tag("p", "There is none."), class_="card")
    chart = line_chart(lines, f"{summary['profile']}: explained variance by number of directions",
                       "directions", y_words=percent, y_range=(0.0, 1.02), line_at=aim)  # fmt: skip
    return tag("div", title, chart, class_="card")


def _ablation(summary: Mapping[str, Any]) -> Element:
    ablation = summary["ablation"]
    rises = [float(each) for each in ablation["nll_rise"]]
    without = {int(layer): f"{score:.2f}" for layer, score in ablation["without"].items()}
    metric, unit = _words(ablation["metric"]), ablation.get("unit", "nats per answer token")
    label = f"{summary['profile']}: rise of the loss without each block"
    chart = bar_chart(rises, without, label, "block", f"rise of the loss, {unit}")
    caption = f"Above a bar: {metric} without that block ({plain(ablation['whole'])} whole)."
    title = tag("h3", "Without a block")
    return tag("div", title, chart, tag("p", caption, class_="small"), class_="card")


def _heads(heads: Mapping[str, Any]) -> Element:
    by_block = sorted(heads["heads"].items(), key=lambda pair: int(pair[0]))
    rows = [[float(each) for each in values] for _, values in by_block]
    crossed = []
    for block, group in heads.get("removed_groups", ()):
        share = len(heads["heads"][str(block)]) // max(1, len(heads["groups"][str(block)]))
        crossed += [(int(block), group * share + each) for each in range(share)]
    chart = heat_map(rows, crossed, "importance of heads, in % of the largest", "head", "block")
    caption = (
        f"In % of the largest ({plain(max(map(max, rows)))} {heads['unit']}), by "
        f"{heads['method']}; × is removed before a second look."
    )
    title = tag("h3", "Importance of heads")
    return tag("div", title, chart, tag("p", caption, class_="small"), class_="card")


def _thin(curve: list[float]) -> list[tuple[float, float]]:
    """The curve as points, fewer where it has more than a chart shows."""
    step = -(-len(curve) // MOST_POINTS)
    last = len(curve) - 1
    return [(at + 1.0, curve[at]) for at in range(len(curve)) if at % step == 0 or at == last]


def _words(name: str) -> str:
    return name.replace("_", " ")
