"""Everything that a report shows of a project, whatever is built in it: for domain commands.

Reads, and writes nothing. Dates are those of the records and of the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexusbuild.graph import input_target
from nexusbuild.project import Project, find_place
from nexusbuild.rule.plan import Step, planned
from nexusbuild.rule.record import Record
from nexusbuild.show.estimate import expected_durations
from nexusbuild.show.plan_notes import plan_notes
from nexusbuild.show.wording import weightiest_first, words
from nexusbuild.store.buildlog import Build, read_builds


@dataclass(frozen=True)
class TargetFacts:
    """One target: how it stands in the plan, and what its last result was and took.

    inputs: ids. reasons: why it is not fresh, in words, the weightiest first. outputs: path -> the
    file that holds it, where the store has it. last_build: its state in the last build that
    touched it.
    """

    id: str
    kind: str
    state: str
    inputs: tuple[str, ...]
    reasons: tuple[str, ...]
    expected_seconds: float | None
    last_build: str | None = None
    outputs: Mapping[str, Path] = field(default_factory=dict)
    bytes: int | None = None
    verdict: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildFacts:
    """One earlier build. states: target -> its state, unless `fresh`. verdicts: as they stood at
    its end. exit_code and seconds: None if it was killed.
    """

    number: int
    started: float
    command: str
    exit_code: int | None
    seconds: float | None
    states: Mapping[str, str]
    verdicts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Overview:
    """A project. targets: in the order in which they are built. builds: oldest first."""

    spec: Path
    store: Path
    store_bytes: int
    targets: tuple[TargetFacts, ...]
    builds: tuple[BuildFacts, ...]
    notes: tuple[str, ...]


def overview(spec: str | None, store: str | None) -> Overview:
    """Of the named spec, or of the nearest one. Raises as every command does: BuildError for what
    a person can mend, ResolveError for a spec that is wrong.
    """
    project = Project(find_place(spec, store))
    world = project.world()
    steps = planned(world)
    results = project.results()
    expected = expected_durations(project.graph, steps, results)
    builds = read_builds(project.store.root)
    last = {target["id"]: target["state"] for build in builds for target in build.targets}
    targets = tuple(
        _target(project, step, results.get(target), expected[target], last.get(target))
        for target, step in steps.items()
    )
    return Overview(
        project.place.spec,
        project.place.store,
        project.store.held_bytes(),
        targets,
        tuple(_build(project, build) for build in builds),
        tuple(plan_notes(project, world, steps, list(steps))),
    )


def _target(
    project: Project, step: Step, record: Record | None, expected: float | None, last: str | None
) -> TargetFacts:
    inputs = tuple(dict.fromkeys(map(input_target, step.target.inputs.values())))
    reasons = tuple(words(each, project.place.folder) for each in weightiest_first(step.reasons))
    facts = (step.target.id, step.target.kind, step.state, inputs, reasons, expected, last)
    if record is None:
        return TargetFacts(*facts)
    held = {each.path: project.store.object(each.sha256) for each in record.outputs}
    outputs = {path: file for path, file in held.items() if file.is_file()}
    return TargetFacts(*facts, outputs, record.bytes, record.verdict, record.provenance)


def _build(project: Project, build: Build) -> BuildFacts:
    found = {target: project.store.record(key) for target, key in build.keys.items()}
    return BuildFacts(
        build.number,
        build.started,
        build.command,
        build.exit_code,
        build.seconds,
        {target["id"]: target["state"] for target in build.targets},
        {
            target: record.verdict
            for target, record in found.items()
            if record is not None and record.verdict is not None
        },
    )
