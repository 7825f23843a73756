"""The plan: for every target, whether it has its result, and if not, why not.

A pure function of the graph, the store, the lock, and of sources and code as they are today, walked
in topological order:

    fresh    it has its result for its key, as the current build left it
    cached   its key is another than the current build's, and the store has the result
    stale    no record has these own parts and inputs: it will be built for certain
    maybe    an input will be rebuilt; whether it must follow is known only then
    blocked  it must be built, and cannot: a source is missing, or nothing can build it yet

The builder calls `plan_step` again for each target when its inputs are done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

from nexusbuild import errors
from nexusbuild.digest.keys import key_of, own_digest
from nexusbuild.errors import BuildError
from nexusbuild.readable import display_path
from nexusbuild.rule.graph import Graph, Target, input_target
from nexusbuild.rule.lock import Lock, changed_source, pins_in_force, sources_behind
from nexusbuild.rule.reasons import Reason, differences
from nexusbuild.rule.record import Output, Record
from nexusbuild.rule.sources import Today

State = Literal["fresh", "cached", "stale", "maybe", "blocked"]


class History(Protocol):
    """What the plan asks of a store."""

    def record(self, key: str) -> Record | None: ...
    def current(self, target: str) -> str | None: ...
    def alias(self, key: str) -> str | None: ...
    def records_with(self, own: str) -> list[Record]: ...
    def missing(self, outputs: Iterable[Output]) -> tuple[Output, ...]: ...


@dataclass(frozen=True)
class Step:
    """One target in the plan. key: where it is known; record: its result, when fresh or cached."""

    target: Target
    state: State
    reasons: tuple[Reason, ...] = ()
    key: str | None = None
    record: Record | None = None
    pinned: bool = False
    notes: tuple[str, ...] = ()
    errors: tuple[BuildError, ...] = ()

    @property
    def runs(self) -> bool:
        return self.state in ("stale", "maybe")

    def digest(self, reference: str) -> str | None:
        """Digest of what an input reference to this target reads; None: it will be rebuilt."""
        return None if self.record is None else self.record.digest_of(reference)


Steps = dict[str, Step]


@dataclass(frozen=True)
class World:
    """All that the plan depends on. forced: to be rebuilt although they have their result."""

    graph: Graph
    today: Today
    history: History
    lock: Lock = field(default_factory=Lock)
    forced: Collection[str] = ()

    @cached_property
    def order(self) -> tuple[Target, ...]:
        return topological_order(self.graph)

    @cached_property
    def held(self) -> set[str]:
        return pins_in_force(self.graph, self.order, self.lock)


def make_plan(world: World, needed: Collection[str] = ()) -> Steps:
    """target -> step, for the whole graph, in topological order.

    needed: targets whose own files are wanted (to publish them), not only what follows from them.
    """
    steps: Steps = {}
    for target in world.order:
        steps[target.id] = plan_step(target, world, steps)
    _restore_what_is_needed(world, steps, needed)
    _block_what_cannot_follow(world, steps)
    return steps


def plan_step(target: Target, world: World, steps: Mapping[str, Step]) -> Step:
    """The state of one target, given the steps of its inputs."""
    today, history = world.today, world.history
    inputs = {role: steps[input_target(ref)].digest(ref) for role, ref in target.inputs.items()}
    own = own_digest(
        target.id,
        target.settings,
        today.source_digests(target.id),
        today.code_of(target).fingerprint,
    )
    known = {role: digest for role, digest in inputs.items() if digest is not None}
    key = key_of(own, known) if len(known) == len(inputs) else None
    current = history.current(target.id)
    pinned = target.id in world.held

    if target.id in world.forced:
        return _to_build(target, world, key, (Reason("forced"),), pinned)
    if pinned:
        kept = _pinned_result(target, world)
        if kept is not None:
            state: State = "fresh" if kept.key == current else "cached"
            notes = () if kept.key == key else (_pin_note(target, kept, today, inputs),)
            return Step(target, state, (), kept.key, kept, True, notes)

    record = history.record(key) if key is not None else None
    if record is not None and key == current:
        return Step(target, "fresh", (), key, record, pinned)
    then = history.record(current) if current else None
    reasons = differences(then, target, today, inputs)
    if key is not None:
        if record is None:
            return _to_build(target, world, key, reasons or (Reason("never-built"),), pinned)
        return Step(target, "cached", reasons, key, record, pinned)
    if any(_agrees(record, inputs) for record in history.records_with(own)):
        rebuilt = dict.fromkeys(
            input_target(target.inputs[role]) for role, digest in inputs.items() if digest is None
        )
        waits = tuple(Reason("input-rebuilt", input=each) for each in rebuilt)
        return Step(target, "maybe", waits, pinned=pinned)
    return _to_build(target, world, None, reasons, pinned)


def _agrees(record: Record, inputs: Mapping[str, str | None]) -> bool:
    """Whether the record's inputs are these, as far as these are known."""
    then = record.input_digests
    return then.keys() == inputs.keys() and all(
        digest is None or digest == then[role] for role, digest in inputs.items()
    )


def _to_build(
    target: Target, world: World, key: str | None, reasons: tuple[Reason, ...], pinned: bool
) -> Step:
    """Stale; or blocked: nothing can build it, what it must read is missing, or is not what the
    lock names."""
    missing = world.today.missing(target.id)
    found = [Reason("source-missing", source.path, remedy=source.remedy) for _, source in missing]
    problems = [
        errors.source_missing(target.id, role, display_path(source.path), source.remedy)
        for role, source in missing
    ]
    if target.obstacle is not None:
        found = [Reason("not-buildable", remedy=target.obstacle), *found]
        problems = [errors.not_buildable(target.id, target.obstacle)]
    if found:
        return Step(target, "blocked", (*reasons, *found), key, errors=tuple(problems))
    if pinned and target.id not in world.forced:
        pin = world.lock.pins[target.id]
        now = sources_behind(world.graph, target.id, world.today)
        changed = changed_source(pin.sources, now)
        if changed is not None:
            error = errors.pin_unavailable(target.id, pin.group, changed)
            reason = Reason("source-changed", changed, remedy=error.remedy)
            return Step(target, "blocked", (*reasons, reason), key, errors=(error,))
    return Step(target, "stale", reasons, key, pinned=pinned)


def _pinned_result(target: Target, world: World) -> Record | None:
    """What the lock pins this target to, where the store has all of it."""
    named = world.lock.pins[target.id].key
    record = world.history.record(world.history.alias(named) or named)
    if record is None or record.target != target.id or world.history.missing(record.outputs):
        return None
    return record


def _pin_note(target: Target, kept: Record, today: Today, inputs: Mapping[str, str | None]) -> str:
    changes = {
        (reason.code.split("-")[0], reason.input or display_path(reason.path or ""))
        for reason in differences(kept, target, today, inputs)
    }
    what = ", ".join(sorted(f"{kind} {name}" for kind, name in changes))
    return (
        f"{target.id} is pinned; today's inputs would give another one ({what}). "
        f"To follow them: nexusbuild lock --upgrade {target.pin}"
    )


def _restore_what_is_needed(world: World, steps: Steps, needed: Collection[str]) -> None:
    """A result whose files are gone is made again, but only for a target that must run."""
    for target in reversed(world.order):
        step = steps[target.id]
        published_next = target.release and step.state == "cached"
        if (target.id in needed or published_next) and step.record is not None:
            _restore(world, steps, target.id, "stale", step.record.outputs)
            step = steps[target.id]
        if step.runs:
            for reference in target.inputs.values():
                record = steps[input_target(reference)].record
                if record is not None:
                    _restore(
                        world, steps, input_target(reference), step.state, record.files(reference)
                    )


def _restore(
    world: World, steps: Steps, target: str, state: State, outputs: Iterable[Output]
) -> None:
    missing = world.history.missing(outputs)
    if not missing:
        return
    step = steps[target]
    reasons = tuple(Reason("output-missing", output.path) for output in missing)
    made = _to_build(step.target, world, step.key, reasons, step.pinned)
    if state == "maybe" and made.state == "stale":
        made = replace(made, state="maybe")
    if step.state != "stale":
        # Its record still says what it will put out: what hangs on it keeps its own state.
        steps[target] = replace(made, record=step.record)


def _block_what_cannot_follow(world: World, steps: Steps) -> None:
    for target in world.order:
        step = steps[target.id]
        blockers = [
            input_target(reference)
            for reference in target.inputs.values()
            if steps[input_target(reference)].state == "blocked"
        ]
        if blockers and step.runs:
            absent = tuple(Reason("source-missing", input=each) for each in blockers)
            steps[target.id] = replace(step, state="blocked", reasons=(*step.reasons, *absent))


def topological_order(graph: Graph) -> tuple[Target, ...]:
    """Every target after its inputs, otherwise in the graph's order."""
    order: list[Target] = []
    done: set[str] = set()
    for start in graph:
        # An explicit stack of (target, inputs still to visit): chains may be thousands long.
        path: dict[str, None] = {}
        stack = [(start, iter(start.inputs.items()))] if start.id not in done else []
        path[start.id] = None
        while stack:
            target, inputs = stack[-1]
            for role, reference in inputs:
                needed = input_target(reference)
                if needed in path:
                    names = list(path)
                    raise errors.cycle([*names[names.index(needed) :], needed])
                if needed not in graph.targets:
                    raise errors.unknown_input(target.id, role, reference, graph.targets)
                if needed not in done:
                    path[needed] = None
                    stack.append((graph[needed], iter(graph[needed].inputs.items())))
                    break
            else:
                stack.pop()
                del path[target.id]
                done.add(target.id)
                order.append(target)
    return tuple(order)


def with_inputs(world: World, steps: Steps, selected: Sequence[str]) -> list[str]:
    """The selected targets and all that they need, in topological order.

    Below a pinned target that has its result nothing is looked at: it is not made from it today.
    """
    found: set[str] = set()
    waiting = list(selected)
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting.extend(waits_for(steps[each]))
    return [target.id for target in world.order if target.id in found]


def waits_for(step: Step) -> list[str]:
    """The targets that must be done before this one."""
    if step.pinned and step.state in ("fresh", "cached"):
        return []
    return list(dict.fromkeys(input_target(each) for each in step.target.inputs.values()))
