"""nexusbuild graph: the targets and what they need, as text, dot, mermaid or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nexusbuild.command import Command, add_place
from nexusbuild.project import Project, find_place
from nexusbuild.rule.plan import Steps, make_plan
from nexusbuild.rule.selectors import needs, select_targets
from nexusbuild.show.streams import print_json, say

FORMATS = ("text", "dot", "mermaid", "json")
_COLOURS = {
    "fresh": "palegreen",
    "cached": "lightcyan",
    "stale": "gold",
    "maybe": "lightyellow",
    "blocked": "salmon",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", metavar="SELECTOR", help="id, kind, glob, +up, down+")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    add_place(parser)


def run(arguments: argparse.Namespace) -> int:
    project = Project(find_place(arguments.file, arguments.store, arguments.resolver))
    world = project.world()
    steps = make_plan(world)
    chosen = set(select_targets(project.graph, arguments.targets))
    targets = [target.id for target in world.order if target.id in chosen]
    edges = {each: [up for up in needs(project.graph)[each] if up in chosen] for each in targets}
    form = "json" if arguments.json else arguments.format
    if form == "json":
        print_json(
            {
                "targets": [
                    {
                        "id": target,
                        "kind": steps[target].target.kind,
                        "state": steps[target].state,
                        "inputs": dict(steps[target].target.inputs),
                        "sources": {
                            role: source.path
                            for role, source in steps[target].target.sources.items()
                        },
                    }
                    for target in targets
                ]
            }
        )
    else:
        lines = {"text": _text, "dot": _dot, "mermaid": _mermaid}[form](targets, edges, steps)
        for line in lines:
            say(line)
    return 0


def _text(targets: Sequence[str], edges: dict[str, list[str]], steps: Steps) -> list[str]:
    longest = max((len(target) for target in targets), default=0)
    return [
        f"{steps[target].state:<7} {target:<{longest}}  {', '.join(edges[target])}".rstrip()
        for target in targets
    ]


def _dot(targets: Sequence[str], edges: dict[str, list[str]], steps: Steps) -> list[str]:
    lines = ["digraph nexus {", "  rankdir=LR;", "  node [shape=box, style=filled];"]
    for target in targets:
        lines.append(f'  "{target}" [fillcolor={_COLOURS[steps[target].state]}];')
        lines += [f'  "{each}" -> "{target}";' for each in edges[target]]
    return [*lines, "}"]


def _mermaid(targets: Sequence[str], edges: dict[str, list[str]], steps: Steps) -> list[str]:
    names = {target: f"t{number}" for number, target in enumerate(targets)}
    lines = ["flowchart LR"]
    for target in targets:
        lines.append(f'  {names[target]}["{target}"]:::{steps[target].state}')
        lines += [f"  {names[each]} --> {names[target]}" for each in edges[target]]
    used = sorted({steps[target].state for target in targets})
    return lines + [f"  classDef {state} fill:{_COLOURS[state]}" for state in used]


command = Command("graph", "The targets and what they need.", configure, run)
