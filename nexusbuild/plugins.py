"""The face of the builder towards packages that bring targets, commands and steps after a build.

Here is all that such a package may use: the vocabulary of graphs and jobs, what a command is, and
what a command may ask of a project. To import this is cheap: a function imports what it needs when
it is called.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nexusbuild.command import Command, add_file, add_json, add_store, positive
from nexusbuild.digest.keys import seed_of
from nexusbuild.errors import Problem, ResolveError
from nexusbuild.process.job import Job, Measured, Noted, Progress, Work
from nexusbuild.rule.graph import (
    Graph,
    Needs,
    Resolver,
    Seen,
    Source,
    SpecFolder,
    Target,
    input_file,
    input_target,
)
from nexusbuild.show.streams import print_json, say, warn

if TYPE_CHECKING:
    from nexusbuild.project import Place, Project
    from nexusbuild.rule.plan import Step
    from nexusbuild.rule.record import Output, Record
    from nexusbuild.store.buildlog import Build
    from nexusbuild.store.store import Store

__all__ = [
    "AfterBuild", "BuildOverview", "Built", "BuiltFiles", "Command", "Graph", "Job", "Measured",
    "Needs", "Noted", "Overview", "Problem", "Progress", "ResolveError", "Resolver", "Seen",
    "Source", "SpecFolder", "Target", "TargetOverview", "Work", "add_file", "add_json", "add_store",
    "blocked_targets",
    "built_files", "fit_lines", "input_file", "input_target", "nearest_spec", "overview",
    "positive", "print_json", "say", "seed_of", "warn",
]  # fmt: skip

JOURNAL = "deletions.jsonl"


def nearest_spec() -> Path:
    """The nexus.yaml here or in a parent folder. Raises BuildError where there is none."""
    from nexusbuild.project import nearest_spec

    return nearest_spec()


def fit_lines(text: str, stream: TextIO) -> str:
    """The text in lines as wide as the terminal that `stream` is; elsewhere as it is."""
    from nexusbuild.show.terminal import fit_lines

    return fit_lines(text, stream)


def blocked_targets(spec: Path) -> set[str]:
    """Targets of this spec that must be built and cannot, by the store next to it."""
    from nexusbuild.project import Project, find_place
    from nexusbuild.rule.plan import make_plan

    steps = make_plan(Project(find_place(str(spec))).world())
    return {target for target, step in steps.items() if step.state == "blocked"}


@dataclass(frozen=True)
class BuiltFiles:
    """Files of a target's current result: path of an output -> the file that holds it.

    state: the target's, as a dry run would say. inputs: role -> files of what was read then.
    missing: paths whose contents are no longer in the store.
    """

    state: str
    outputs: Mapping[str, Path]
    inputs: Mapping[str, Mapping[str, Path]]
    missing: tuple[str, ...]


def built_files(spec: Path, store: str | None, target: str) -> BuiltFiles | None:
    """The files of a target's current result; None where it was never built."""
    from nexusbuild.project import Project, find_place
    from nexusbuild.rule.plan import make_plan

    project = Project(find_place(str(spec), store))
    record = project.result(target)
    if record is None:
        return None
    missing: list[str] = []
    inputs = {}
    for role, use in record.inputs.items():
        source = project.store.record(use.key)
        read = source.files(use.reference) if source is not None else ()
        inputs[role] = _stored_files(project.store, read, missing)
        if not read:
            missing.append(use.reference)
    return BuiltFiles(
        make_plan(project.world())[target].state,
        _stored_files(project.store, record.outputs, missing),
        inputs,
        tuple(missing),
    )


def _stored_files(store: Store, outputs: tuple[Output, ...], missing: list[str]) -> dict[str, Path]:
    missing += [output.path for output in outputs if not store.object(output.sha256).is_file()]
    return {output.path: store.object(output.sha256) for output in outputs}


@dataclass(frozen=True)
class TargetOverview:
    """One target: its state in the plan, and its last result.

    inputs: ids. reasons: why it is not fresh, in words, the most important first. outputs: path ->
    the file that holds it, where the store has it. last_build: its state in the last build that
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
class BuildOverview:
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
    targets: tuple[TargetOverview, ...]
    builds: tuple[BuildOverview, ...]
    notes: tuple[str, ...]


def overview(spec: str | None, store: str | None) -> Overview:
    """Everything that a report shows of the named spec, or of the nearest one. Writes nothing.

    Raises as every command does: BuildError for what a person can fix, ResolveError for a spec that
    is wrong.
    """
    from nexusbuild.project import Project, find_place
    from nexusbuild.rule.plan import make_plan
    from nexusbuild.show.eta import expected_durations
    from nexusbuild.show.plan_notes import plan_notes
    from nexusbuild.store.buildlog import read_builds

    project = Project(find_place(spec, store))
    world = project.world()
    steps = make_plan(world)
    results = project.results()
    expected = expected_durations(project.graph, steps, results)
    builds = read_builds(project.store.root)
    last = {target["id"]: target["state"] for build in builds for target in build.targets}
    targets = tuple(
        _target_overview(project, step, results.get(target), expected[target], last.get(target))
        for target, step in steps.items()
    )
    return Overview(
        project.place.spec,
        project.place.store,
        project.store.held_bytes(),
        targets,
        tuple(_build_overview(project, build) for build in builds),
        tuple(plan_notes(project, world, steps, list(steps))),
    )


def _target_overview(
    project: Project, step: Step, record: Record | None, expected: float | None, last: str | None
) -> TargetOverview:
    from nexusbuild.show.wording import describe_reason, sort_by_weight

    inputs = tuple(dict.fromkeys(map(input_target, step.target.inputs.values())))
    ordered = sort_by_weight(step.reasons)
    reasons = tuple(describe_reason(each, project.place.folder) for each in ordered)
    planned = (step.target.id, step.target.kind, step.state, inputs, reasons, expected, last)
    if record is None:
        return TargetOverview(*planned)
    files = _stored_files(project.store, record.outputs, [])
    outputs = {path: file for path, file in files.items() if file.is_file()}
    return TargetOverview(*planned, outputs, record.bytes, record.verdict, record.provenance)


def _build_overview(project: Project, build: Build) -> BuildOverview:
    records = {target: project.store.record(key) for target, key in build.keys.items()}
    return BuildOverview(
        build.number,
        build.started,
        build.command,
        build.exit_code,
        build.seconds,
        {target["id"]: target["state"] for target in build.targets},
        {
            target: record.verdict
            for target, record in records.items()
            if record is not None and record.verdict is not None
        },
    )


class AfterBuild(Protocol):
    """A step that a package brings, for after a build that has passed.

    configure: its options. asked: whether they ask for it. prepare: before the build, raises
    ResolveError where it could not be done. run: afterwards, while the store is locked; returns
    what it did, as JSON.
    """

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def asked(self, arguments: argparse.Namespace) -> bool: ...
    def prepare(self, arguments: argparse.Namespace) -> None: ...
    def run(self, arguments: argparse.Namespace, built: Built) -> Sequence[Mapping[str, Any]]: ...


class Built:
    """A project whose build has passed, for a step after it. The store is locked meanwhile."""

    def __init__(self, place: Place) -> None:
        from nexusbuild.project import Project

        self._project = Project(place)
        self._store = self._project.store

    @property
    def graph(self) -> Graph:
        return self._project.graph

    @property
    def spec(self) -> Path:
        """Sources are relative to its folder."""
        return self._project.place.spec

    @property
    def own_places(self) -> tuple[Path, ...]:
        """The builder's own: the spec, the lock, the store, what it shows and releases."""
        place = self._project.place
        return (place.spec, place.lock, place.store, place.build, place.dist)

    def unfinished(self) -> list[str]:
        """Targets without their result, in the order of the graph."""
        from nexusbuild.rule.plan import make_plan

        steps = make_plan(self._project.world())
        return [name for name, step in steps.items() if step.state != "fresh"]

    def stored_bytes(self, targets: Collection[str]) -> int:
        """Bytes of the files that only these targets have, of any build."""
        return sum(output.bytes for output in self._only_of(targets))

    def drop_files(self, targets: Collection[str]) -> None:
        """Delete these files. The records stay, so that the targets count as built; a target that
        must run and needs one of the files has it made again.
        """
        for output in self._only_of(targets):
            self._store.discard(output)

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Note, permanently, what is about to be deleted."""
        line = json.dumps({"time": round(time.time(), 3), **entry}, sort_keys=True)
        with (self._store.root / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _only_of(self, targets: Collection[str]) -> list[Output]:
        """Objects here that no other target's record refers to."""
        own: dict[str, Output] = {}
        others: set[str] = set()
        for key in self._store.record_keys():
            record = self._store.record(key)
            if record is None:
                continue
            if record.target in targets:
                own |= {output.sha256: output for output in record.outputs}
            else:
                others |= {output.sha256 for output in record.outputs}
        return [
            output
            for digest, output in sorted(own.items())
            if digest not in others and self._store.object(digest).exists()
        ]
