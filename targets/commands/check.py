"""`nexusbuild check`: everything that is wrong with the spec, its sources and its hardware."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import specs
from nexusbuild.graph import Graph, Problem, ResolveError
from specs.loading import shown_path
from targets.commands.command import (
    DONE,
    WRONG,
    Command,
    add_file_argument,
    complain,
    say,
    spec_path,
)
from targets.estimates import GIGABYTE
from targets.resolver import resolve


def configure(parser: argparse.ArgumentParser) -> None:
    """Which spec."""
    add_file_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """List every problem, or say what the spec declares."""
    path = spec_path(arguments)
    if path is None:
        return WRONG
    try:
        # Once for itself: its own problems carry excerpts.
        spec = specs.load(path)
        graph = resolve(path, _lock_values(path))
    except specs.SpecError as error:
        return _report(error.problems)
    except ResolveError as error:
        return _report(error.problems)
    blocked = getattr(arguments, "blocked_targets", None)  # the engine's; absent without it
    missing, not_needed = missing_sources(graph, path, blocked)
    problems = [*missing, *beyond_hardware(graph, path)]
    if problems:
        return _report(problems)
    for note in (*graph.notes, *not_needed):
        say(f"note: {note}")
    say(
        f"{shown_path(path)} is in order: {_counted(len(spec.teachers), 'teacher')}, "
        f"{_counted(len(spec.capabilities), 'capability', 'capabilities')}, "
        f"{_counted(len(graph.targets), 'target')}"
    )
    return DONE


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
            if not (spec.parent / source.path).exists():
                readers.setdefault(source.path, []).append(target.id)
                remedies.setdefault(source.path, source.remedy)
    waiting = blocked(spec) if readers and blocked is not None else None
    problems, notes = [], []
    for path, names in readers.items():
        needed = [name for name in names if waiting is None or name in waiting]
        if needed:
            message = f"{path} is missing; {needed[0]} reads it"
            problems.append(Problem(message, shown_path(spec), remedy=remedies[path]))
        else:
            notes.append(f"{path} is missing; what reads it has its result and needs it no more")
    return problems, notes


def beyond_hardware(graph: Graph, spec: Path) -> Iterator[Problem]:
    """Targets that by estimate need more memory than the spec's `hardware` grants."""
    for target in graph:
        for kind, need, granted, remedy in (
            ("ram", target.needs.ram_bytes, graph.ram_bytes, "a machine with more memory"),
            ("vram", target.needs.vram_bytes, graph.vram_bytes, "load: nf4, or a larger GPU"),
        ):
            if granted is not None and need > granted:
                yield Problem(
                    message=f"{target.id} needs about {need / GIGABYTE:.1f}GB, "
                    f"hardware.{kind} grants {granted / GIGABYTE:.1f}GB",
                    file=shown_path(spec),
                    field=f"hardware.{kind}",
                    remedy=f"what would help: {remedy}",
                )


def _report(problems: list[specs.SpecProblem] | list[Problem]) -> int:
    complain(str(problem) for problem in problems)
    complain([f"{_counted(len(problems), 'problem')} found"])
    return WRONG


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _lock_values(spec: Path) -> Mapping[str, Any]:
    """What the lock pins, so that the check sees the graph that a build would."""
    path = spec.with_suffix(".lock")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        problem = Problem(f"cannot be read: {error}", shown_path(path))
        raise ResolveError([problem]) from None
    values = content.get("values") if isinstance(content, dict) else None
    return values if isinstance(values, dict) else {}


command = Command("check", "validate the spec, its sources and its hardware", configure, run)
