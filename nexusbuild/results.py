"""Files of the current build's results, and of what they were made from: for domain commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nexusbuild.project import Project, find_place
from nexusbuild.rule.plan import planned
from nexusbuild.rule.record import Output
from nexusbuild.store.store import Store


@dataclass(frozen=True)
class Result:
    """What the current build left of a target: path of an output -> the file that holds it.

    state: the target's, as a dry run would say. inputs: role -> the same of what was read then.
    missing: paths whose contents the store has no more.
    """

    state: str
    outputs: Mapping[str, Path]
    inputs: Mapping[str, Mapping[str, Path]]
    missing: tuple[str, ...]


def current_result(spec: Path, store: str | None, target: str) -> Result | None:
    """The result of a target; None where it was never built."""
    project = Project(find_place(str(spec), store))
    record = project.result(target)
    if record is None:
        return None
    missing: list[str] = []
    inputs = {}
    for role, use in record.inputs.items():
        made = project.store.record(use.key)
        read = made.files(use.reference) if made is not None else ()
        inputs[role] = _files(project.store, read, missing)
        if not read:
            missing.append(use.reference)
    return Result(
        planned(project.world())[target].state,
        _files(project.store, record.outputs, missing),
        inputs,
        tuple(missing),
    )


def _files(store: Store, outputs: tuple[Output, ...], missing: list[str]) -> dict[str, Path]:
    missing += [output.path for output in outputs if not store.object(output.sha256).is_file()]
    return {output.path: store.object(output.sha256) for output in outputs}
