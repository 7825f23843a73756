"""Rules for contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.crosschecks.sections import Sections, as_mapping, names_in
from specs.document import FieldPath
from specs.names import metric_traits, metrics
from specs.problems import SpecProblem, known_names, suggestion
from specs.values import HARNESS_METRIC, ROUTER

HIGHEST_SHARE = 1.2


def contract_problems(sections: Sections) -> Iterator[SpecProblem]:
    for name, contract in sections.contracts.items():
        path: FieldPath = ("contracts", name)
        if name == ROUTER:
            continue
        if not sections.capabilities:
            return
        yield from _levels(sections, name, as_mapping(contract), path)
        yield from _harness_task(sections, name, as_mapping(contract), path)
        if name not in sections.capabilities:
            remedy = (
                f"allowed: {known_names([*sections.capabilities, ROUTER])}"
                f"{suggestion(name, [*sections.capabilities, ROUTER])}"
            )
            yield sections.problem(path, "no such capability", remedy, at_key=True)
        elif name not in sections.served and sections.complete:
            remedy = f"add {name} to the capabilities of a teacher, or drop the contract"
            yield sections.problem(
                path, "a contract for a capability that no teacher serves", remedy, at_key=True
            )


def _levels(
    sections: Sections, name: str, contract: dict[str, Any], path: FieldPath
) -> Iterator[SpecProblem]:
    """A share above 1.2 would be asked for by mistake: as a percentage, say."""
    own = sections.capabilities.get(name, {}).get("metric")
    metric = contract.get("metric") or own
    for key in ("at_least", "teacher_at_least"):
        level = contract.get(key)
        if not isinstance(level, int | float) or isinstance(level, bool):
            continue
        if level > HIGHEST_SHARE and _is_share(metric):
            yield sections.problem(
                (*path, key),
                f"{level:g} is not allowed",
                f"allowed: a number above 0 and at most {HIGHEST_SHARE}: {metric} is a share",
            )


def _is_share(metric: Any) -> bool:
    """Whether scores of this metric end at 1; a harness task has a unit of its own."""
    if isinstance(metric, str) and metric in metrics().modules:
        return not metric_traits(metric).unbounded
    return not (isinstance(metric, str) and HARNESS_METRIC.fullmatch(metric))


def _harness_task(
    sections: Sections, name: str, contract: dict[str, Any], path: FieldPath
) -> Iterator[SpecProblem]:
    """The gate judges what was answered before; it asks no model."""
    metric = contract.get("metric")
    found = HARNESS_METRIC.fullmatch(metric) if isinstance(metric, str) else None
    harness = as_mapping(sections.capabilities.get(name, {}).get("harness"))
    if found and found["task"] not in names_in(harness.get("tasks")):
        yield sections.problem(
            (*path, "metric"),
            f'"{found["task"]}" is no harness task of {name}',
            f"add it: capabilities.{name}.harness: {{tasks: [{found['task']}]}}",
        )
