"""The budget of a spec, as a table for people and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import specs
from nexusbuild.plugins import ResolveError, print_json, say
from specs.loading import shown_path
from specs.values import RESERVED_NAMES
from targets.budget.devices import CONSUMER_GPU, CPU_THREAD, granted_ram
from targets.commands.budget import Budget, Limits, TargetBudget, budget_of, misfits, size
from targets.commands.command import DONE, WRONG, count_phrase, say_fitted
from targets.commands.lock_file import lock_values_of
from targets.commands.problems import complain_of_all, problem_json

NAME_WIDTH = 47


def show_budget(arguments: argparse.Namespace, path: Path) -> int:
    """Print it; WRONG where a target that can be built does not fit."""
    try:
        spec = specs.load(path)
        budget = budget_of(spec, path, lock_values_of(path), granted_limits(spec))
    except (specs.SpecError, ResolveError) as error:
        if not arguments.json:
            return complain_of_all(error.problems)
        found = [problem_json(each) for each in error.problems]
        print_json({"errors": found, "exit_code": WRONG})
        return WRONG
    code = DONE if _fits(budget) else WRONG
    if arguments.json:
        print_json(_document(path, budget, code))
    else:
        _table(budget, arguments.verbose)
        _what_does_not_fit(arguments, budget)
        _totals(budget)
    return code


def granted_limits(spec: specs.Spec) -> Limits:
    """What the spec grants; of main memory, what the machine has, unless it says."""
    ram = granted_ram(spec.hardware)
    return Limits(spec.hardware.vram, ram, spec.hardware.disk)


def _fits(budget: Budget) -> bool:
    disk = budget.limits.disk
    return not any(each.problems for each in budget.buildable) and (
        disk is None or budget.store <= disk
    )


def _table(budget: Budget, every: bool) -> None:
    say(f"{'target':<{NAME_WIDTH}}{'VRAM':>8}{'RAM':>8}{'disk':>8}{'time':>8}")
    _lines(budget.buildable, _target if every else _kind_and_teacher)
    declared = [each for each in budget.targets if each.obstacle]
    if declared:
        say("\ndeclared only: there is no trainer yet")
        _lines(declared, _target if every else _teacher)


def _lines(chosen: Sequence[TargetBudget], group: Callable[[TargetBudget], str]) -> None:
    groups: dict[str, list[TargetBudget]] = {}
    for each in chosen:
        groups.setdefault(group(each), []).append(each)
    for name, members in groups.items():
        say(_line(name, members))


def _target(budget: TargetBudget) -> str:
    """A line for each."""
    return budget.target


def _kind_and_teacher(budget: TargetBudget) -> str:
    """Targets that differ in the capability alone share a line; the name selects all of them."""
    kind, _, name = budget.target.partition(":")
    if budget.teacher is not None and "/" in name:
        return f"{kind}:{budget.teacher}/*"
    special = not name or name in RESERVED_NAMES or budget.teacher is not None
    return budget.target if special else f"{kind}:*"


def _teacher(budget: TargetBudget) -> str:
    """A line for all that opens one teacher."""
    return f"*:{budget.teacher}*" if budget.teacher is not None else f"{budget.kind}:*"


def _line(name: str, members: Sequence[TargetBudget]) -> str:
    number = f" ({len(members)})" if len(members) > 1 else ""
    only = members[0].target if len(members) == 1 else name
    room = NAME_WIDTH - len(number) - 1
    shown = only if len(only) <= room else f"{only[: room - 1]}…"
    too_much = "!" if any(each.problems and not each.obstacle for each in members) else " "
    return (
        f"{shown + number:<{NAME_WIDTH}}"
        f"{size(max(each.vram for each in members)):>7}{too_much}"
        f"{size(max(each.ram for each in members)):>7} "
        f"{size(sum(each.disk for each in members)):>7} "
        f"{duration(sum(each.seconds for each in members)):>7}"
    )


def _what_does_not_fit(arguments: argparse.Namespace, budget: Budget) -> None:
    """Each thing once, with what would help."""
    found = misfits(budget)
    if found:
        say("\ndoes not fit (!)")
    for misfit in found:
        targets = (
            f" ({count_phrase(len(misfit.targets), 'target')})" if len(misfit.targets) > 1 else ""
        )
        say(f"  {misfit.about}{targets}: {misfit.says}")
        for place, remedy in enumerate(misfit.remedies):
            say_fitted(f"    {'or' if place else 'would fit:':>10} {remedy}")
    disk = budget.limits.disk
    if disk is not None and budget.store > disk:
        say(f"  the store: {size(budget.store)}, hardware.disk grants {size(disk)}")
    for name in budget.unknown:
        text = f"  teacher {name}: its size is not known; say `parameters: 8B`, or put its folder"
        say_fitted(text)


def _totals(budget: Budget) -> None:
    seconds = sum(each.seconds for each in budget.buildable)
    vram = max((each.vram for each in budget.buildable), default=0)
    ram = max((each.ram for each in budget.buildable), default=0)
    largest = f"{size(ram)} of memory" + (f" and {size(vram)} of a GPU's" if vram else "")
    number = count_phrase(len(budget.buildable), "target")
    say(f"\n{number}, {duration(seconds)} one after the other")
    say(f"each takes at most {largest}; the store {size(budget.store)}")
    if budget.fetched:
        say(f"models still to be fetched: about {size(budget.fetched)}")
    declared = len(budget.targets) - len(budget.buildable)
    if declared:
        say(f"{count_phrase(declared, 'target')} declared only, in no sum")
    say("by configurations alone; docs/spec.md says what is assumed")


def duration(seconds: float) -> str:
    """In the one unit that tells minutes from hours from days."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            number = seconds / length
            digits = 0 if number >= 10 or unit == "min" else 1
            return f"{number:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def _document(path: Path, budget: Budget, code: int) -> dict[str, Any]:
    gpu, cpu = CONSUMER_GPU, CPU_THREAD
    return {
        "spec": shown_path(path),
        "assumes": {"gpu": asdict(gpu), "cpu_thread": asdict(cpu)},
        "granted": {f"{name}_bytes": value for name, value in asdict(budget.limits).items()},
        "targets": [
            {
                "id": each.target,
                "kind": each.kind,
                "vram_bytes": each.vram,
                "ram_bytes": each.ram,
                "disk_bytes": each.disk,
                "seconds": round(each.seconds, 1),
                "takes": each.takes,
                "fits": not each.problems,
                "problems": [
                    {"kind": one.kind, "message": one.says, "would_help": one.remedies}
                    for one in each.problems
                ],
                "obstacle": each.obstacle,
            }
            for each in budget.targets
        ],
        "totals": {
            "seconds": round(sum(each.seconds for each in budget.buildable), 1),
            "store_bytes": budget.store,
            "to_fetch_bytes": budget.fetched,
            "fits": _fits(budget),
        },
        "unknown_sizes": budget.unknown,
        "exit_code": code,
    }
