"""The section on sizes: what ships, and what the build took of what the spec grants."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from modalities.json_files import read_json
from nexusbuild.plugins import TargetOverview
from targets.report.charts import share_bar
from targets.report.facts import Project, size
from targets.report.markup import Child, table, tag

MANIFEST, PLAN = "manifest.json", "adapter_capacity_plan.json"


def sizes(project: Project) -> list[Element]:
    """Budgets of the machine, parts of the bundle, ranks of the adapters."""
    found = [_granted_table(project)]
    for target in project.of_kind("bundle"):
        path = next((path for path in target.outputs if path.endswith(MANIFEST)), None)
        if path is not None:
            found += _bundle(read_json(target.outputs[path]))
    ranks = [_ranks(each) for each in project.with_output(PLAN)]
    if ranks:
        found += [tag("h3", "Ranks of the adapters"),
                  table(["adapter", "ranks by block", "intrinsic dimension", "at most"], ranks,
                        "figures")]  # fmt: skip
    return found


def _granted_table(project: Project) -> Element:
    measured = [each.provenance for each in project.overview.targets if each.provenance]
    peak = max((each.get("peak_rss_bytes", 0) for each in measured), default=0)
    video = max((each.get("peak_vram_bytes", 0) for each in measured), default=0)
    rows = [
        _budget("memory", peak, project.ram),
        _budget("GPU memory", video, project.vram),
        _budget("disk", project.overview.store_bytes, project.disk),
    ]
    what = "Memory is the largest target's, disk is everything in the store."
    taken = table(["", "taken", "granted", ""], rows, "figures")
    return tag("div", taken, tag("p", what, class_="small"))


def _budget(name: str, taken: int, granted: int | None) -> list[Child]:
    if not taken:
        return [name, "–", size(granted) if granted else "not said", ""]
    if not granted:
        return [name, size(taken), "not said", ""]
    text = f"{size(taken)} of {size(granted)}"
    word = " too much" if taken > granted else ""
    bar = share_bar(taken / granted, f"{name}: {text}{word}", taken > granted)
    return [name, size(taken), size(granted) + word, bar]


def _bundle(manifest: dict[str, Any]) -> list[Element]:
    parts = manifest["components"]
    files = sum(each["bytes"] for each in manifest["files"].values())
    largest = max((each["bytes"] for each in parts.values()), default=1)
    rows: list[list[Child]] = [
        [
            name,
            f"{part['parameters']:,}",
            size(part["bytes"]),
            share_bar(part["bytes"] / largest, f"{size(part['bytes'])} of {size(files)}"),
        ]
        for name, part in parts.items()
    ]
    total = sum(part["parameters"] for part in parts.values())
    rows.append([tag("b", "everything in the bundle"), f"{total:,}", size(files), ""])
    return [tag("h3", "The bundle"), table(["part", "parameters", "size", ""], rows, "figures")]


def _ranks(target: TargetOverview) -> list[Child]:
    plan = read_json(target.outputs[PLAN])
    layers = sorted(plan["layers"].items(), key=lambda pair: int(pair[0]))
    ranks = ", ".join(str(each["rank"]) for _, each in layers)
    wanted = ", ".join(str(each["intrinsic_dimension"]) for _, each in layers)
    return [target.id.partition(":")[2], ranks, wanted, str(plan["cap"])]
