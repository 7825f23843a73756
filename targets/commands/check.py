"""`nexusbuild check`: everything that is wrong with the spec, its sources and its hardware."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import specs
from nexusbuild.plugins import (
    Command,
    Graph,
    Problem,
    ResolveError,
    add_file,
    add_json,
    blocked_targets,
    print_json,
    say,
)
from specs.loading import shown_path
from targets.commands.budget import Limits, budget_of, misfits, size
from targets.commands.command import DONE, WRONG, count_phrase, note, spec_path
from targets.commands.lock_file import lock_values_of
from targets.commands.problems import AnyProblem, complain_of_all, problem_json
from targets.commands.show_budget import show_budget
from targets.resolver import resolve

EXAMPLES = """\
examples:
  nexusbuild check                 every mistake, and what is missing on disk
  nexusbuild check -f other.yaml   the same for another spec
  nexusbuild check --json          for editors and scripts
  nexusbuild check --budget        what each target needs; nothing is opened, so
                                   no model has to be there

Ends with 0 where nothing is wrong, with 2 where something is.
"""


@dataclass(frozen=True)
class Examined:
    """What was found out about a spec. spec and graph: None where it could not be read."""

    spec: specs.Spec | None = None
    graph: Graph | None = None
    problems: list[AnyProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def configure(parser: argparse.ArgumentParser) -> None:
    """Which spec, and in which form."""
    parser.epilog = EXAMPLES
    add_file(parser)
    parser.add_argument(
        "--budget",
        action="store_true",
        help="memory, disk and time of every target, by configurations alone",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="with --budget: a line for each target"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """List every problem, or say what the spec declares."""
    path = spec_path(arguments)
    if arguments.budget:
        return show_budget(arguments, path)
    found = examine(path, blocked_targets)
    if arguments.json:
        print_json(_document(path, found))
        return WRONG if found.problems else DONE
    note(found.notes)
    if found.problems:
        return complain_of_all(found.problems)
    say(f"{shown_path(path)} is in order: {_describe_declared(found)}")
    return DONE


def examine(path: Path, blocked: Callable[[Path], Collection[str]]) -> Examined:
    """A spec with all that is wrong with it, on this machine. blocked: see `missing_sources`."""
    try:
        # Once for itself: its own problems carry their lines.
        spec = specs.load(path)
        graph = resolve(path, lock_values_of(path))
    except (specs.SpecError, ResolveError) as error:
        return Examined(problems=list(error.problems))
    missing, not_needed = missing_sources(graph, path, blocked)
    return Examined(
        spec, graph, [*missing, *beyond_hardware(spec, path)], [*graph.notes, *not_needed]
    )


def missing_sources(
    graph: Graph, spec: Path, blocked: Callable[[Path], Collection[str]] | None
) -> tuple[list[Problem], list[str]]:
    """Files and folders that are not where the spec says, each once: those that a target must read,
    and in notes those of which every reader has its result. Without `blocked` all are needed.
    """
    readers: dict[str, list[str]] = {}
    remedies: dict[str, str] = {}
    for target in graph:
        for source in target.sources.values():
            if target.obstacle is None and not (spec.parent / source.path).exists():
                readers.setdefault(source.path, []).append(target.id)
                place = shown_path(spec.parent / source.path)
                remedies.setdefault(source.path, source.remedy_at(place))
    waiting = blocked(spec) if readers and blocked is not None else None
    problems, notes = [], []
    for path, names in readers.items():
        needed = [name for name in names if waiting is None or name in waiting]
        if needed:
            message = f"{path} is missing; {needed[0]} reads it"
            remedy = remedies[path].replace("\n", "\n    ")
            problems.append(Problem(message, shown_path(spec), remedy=remedy))
        else:
            notes.append(f"{path} is missing; what reads it has its result and needs it no more")
    return problems, notes


def beyond_hardware(spec: specs.Spec, path: Path) -> Iterator[Problem]:
    """What by estimate needs more memory than the spec's `hardware` grants, and what would help."""
    limits = Limits(spec.hardware.vram, spec.hardware.ram, spec.hardware.disk)
    budget = budget_of(spec, path, lock_values_of(path), limits)
    for misfit in misfits(budget):
        first, *others = misfit.remedies
        yield Problem(
            message=f"{misfit.about} needs {misfit.says}",
            file=shown_path(path),
            field=f"hardware.{misfit.kind}",
            remedy="\n".join([f"would fit: {first}", *(f"       or  {each}" for each in others)]),
        )
    if limits.disk is not None and budget.store > limits.disk:
        yield Problem(
            message=f"the store comes to {size(budget.store)}, {size(limits.disk)} granted",
            file=shown_path(path),
            field="hardware.disk",
            remedy="grant more, or build fewer capabilities at once: nexusbuild +gate:NAME",
        )


def _describe_declared(found: Examined) -> str:
    if found.spec is None or found.graph is None:
        return "nothing"
    return (
        f"{count_phrase(len(found.spec.teachers), 'teacher')}, "
        f"{count_phrase(len(found.spec.capabilities), 'capability', 'capabilities')}, "
        f"{count_phrase(len(found.graph.targets), 'target')}"
    )


def _document(path: Path, found: Examined) -> dict[str, Any]:
    spec, graph = found.spec, found.graph
    return {
        "spec": shown_path(path),
        "errors": [problem_json(problem) for problem in found.problems],
        "notes": found.notes,
        "teachers": len(spec.teachers) if spec else None,
        "capabilities": len(spec.capabilities) if spec else None,
        "targets": len(graph.targets) if graph else None,
        "exit_code": WRONG if found.problems else DONE,
    }


command = Command("check", "validate the spec, its sources and its hardware", configure, run)
