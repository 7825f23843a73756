"""The staleness rule, in memory: no file, no clock, no process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.keys import key_of, own_digest, sha256_text
from nexusbuild.plugins import Graph, Source, Target, input_target
from nexusbuild.rule.plan import Steps, World, make_plan
from nexusbuild.rule.reasons import Reason, changed_leaves, spec_path
from nexusbuild.rule.record import InputUse, Output, Record, SourceUse
from nexusbuild.rule.sources import SourceState, Today

CODE = Code("fingerprint", {"work": "1"})


class Memory:
    """A store in memory; `lost` holds digests whose objects are gone."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.pointers: dict[str, str] = {}
        self.lost: set[str] = set()

    def record(self, key: str) -> Record | None:
        return self.records.get(key)

    def current(self, target: str) -> str | None:
        return self.pointers.get(target)

    def alias(self, key: str) -> str | None:
        return None

    def records_with(self, own: str) -> list[Record]:
        return [record for record in self.records.values() if record.own == own]

    def missing(self, outputs: Iterable[Output]) -> tuple[Output, ...]:
        return tuple(output for output in outputs if output.sha256 in self.lost)


class Bench:
    """A graph whose targets "build" to the digest of a text, by default of all that they read."""

    def __init__(self, *targets: Target, sources: Mapping[str, str] | None = None) -> None:
        self.targets = {target.id: target for target in targets}
        self.sources = dict(sources or {})
        self.gone: set[str] = set()
        self.code: dict[str, Code] = {}
        self.store = Memory()
        self.result: dict[str, str] = {}

    def world(self, forced: Iterable[str] = ()) -> World:
        sources = {
            target.id: {
                role: SourceState(
                    source.path, self.sources.get(source.path), source.path not in self.gone
                )
                for role, source in target.sources.items()
            }
            for target in self.targets.values()
        }
        code = {name: self.code.get(each.work, CODE) for name, each in self.targets.items()}
        return World(Graph(self.targets), Today(sources, code), self.store, forced=set(forced))

    def plan(self, *forced: str) -> Steps:
        return make_plan(self.world(forced))

    def states(self, *forced: str) -> dict[str, str]:
        return {target: step.state for target, step in self.plan(*forced).items()}

    def build(self) -> list[str]:
        """Build everything as the builder would; the targets that ran."""
        world = self.world()
        ran = []
        for target in world.order:
            inputs = {}
            for role, reference in target.inputs.items():
                record = self.store.records[self.store.pointers[input_target(reference)]]
                files = record.files(reference)
                inputs[role] = InputUse(reference, _digest(files), record.key)
            sources = {
                role: SourceUse(fact.path, fact.digest or "")
                for role, fact in world.today.sources[target.id].items()
            }
            own = own_digest(
                target.id,
                target.settings,
                {role: use.digest for role, use in sources.items()},
                world.today.code_of(target).fingerprint,
            )
            key = key_of(own, {role: use.digest for role, use in inputs.items()})
            if key not in self.store.records:
                ran.append(target.id)
                text = self.result.get(target.id, key)
                outputs = (
                    Output("out", sha256_text(text), 1),
                    Output("fixed", sha256_text(target.id), 1),
                )
                self.store.records[key] = Record(
                    key,
                    target.id,
                    target.work,
                    target.settings,
                    inputs,
                    sources,
                    world.today.code_of(target),
                    outputs,
                )
            self.store.pointers[target.id] = key
        return ran

    def set(self, target: str, **settings: Any) -> None:
        old = self.targets[target]
        self.targets[target] = replace(old, settings={**old.settings, **settings})


def _digest(outputs: Iterable[Output]) -> str:
    from nexusbuild.rule.record import outputs_digest

    return outputs_digest(outputs)


def target(name: str, *inputs: str, **more: Any) -> Target:
    return Target(
        name,
        more.pop("work", "w"),
        more.pop("settings", {"x": 1}),
        inputs={each: each for each in inputs},
        **more,
    )


def chain() -> Bench:
    """a -> b -> c, and d, which reads one file of a that never changes."""
    return Bench(target("a"), target("b", "a"), target("c", "b"), target("d", "a#fixed"))


def test_never_built() -> None:
    bench = chain()
    assert set(bench.states().values()) == {"stale"}
    assert bench.plan()["a"].reasons == (Reason("never-built"),)
    assert bench.build() == ["a", "b", "c", "d"]
    assert set(bench.states().values()) == {"fresh"}


def test_stale_is_certain_and_maybe_is_not() -> None:
    bench = chain()
    bench.build()
    bench.set("a", x=2)
    assert bench.states() == {"a": "stale", "b": "maybe", "c": "maybe", "d": "maybe"}
    assert bench.plan()["b"].reasons == (Reason("input-rebuilt", input="a"),)
    # What changed by itself will be built whatever its inputs come to.
    bench.set("c", x=2)
    assert bench.states()["c"] == "stale"


def test_the_walk_goes_on_with_certainty_below_what_is_cached() -> None:
    bench = chain()
    bench.build()
    bench.set("a", x=2)
    assert bench.build() == ["a", "b", "c"]
    bench.set("a", x=1)
    assert bench.states() == {"a": "cached", "b": "cached", "c": "cached", "d": "fresh"}
    bench.set("c", x=3)
    assert bench.states()["c"] == "stale"
    assert bench.plan()["c"].key is not None


def test_maybe_needs_a_record_that_agrees_with_what_is_known() -> None:
    bench = Bench(target("a"), target("k"), target("b", "a", "k"))
    bench.build()
    bench.set("k", x=2)
    bench.build()
    bench.set("k", x=1)
    # With k as it was first, b was built with the first a alone: it may be that again.
    bench.set("a", x=2)
    assert bench.states() == {"a": "stale", "k": "cached", "b": "maybe"}
    bench.store.records = {
        key: record
        for key, record in bench.store.records.items()
        if record.target != "b" or key == bench.store.pointers["b"]
    }
    # No record has this k any more: whatever a comes to, b must be built.
    assert bench.states()["b"] == "stale"


def test_forced() -> None:
    bench = chain()
    bench.build()
    assert bench.states("b") == {"a": "fresh", "b": "stale", "c": "maybe", "d": "fresh"}
    assert bench.plan("b")["b"].reasons == (Reason("forced"),)


def test_missing_sources() -> None:
    bench = Bench(
        target("a", sources={"file": Source("file", "fetch it")}),
        target("b", "a"),
        sources={"file": "digest"},
    )
    bench.build()
    bench.gone.add("file")
    assert set(bench.states().values()) == {"fresh"}
    bench.set("b", x=2)
    assert bench.states() == {"a": "fresh", "b": "stale"}
    bench.set("a", x=2)
    assert bench.states() == {"a": "blocked", "b": "blocked"}
    assert bench.plan()["a"].reasons[-1].code == "source-missing"
    assert bench.plan()["b"].reasons[-1] == Reason("source-missing", input="a")
    bench.set("a", x=1)
    bench.set("b", x=1)
    assert set(bench.states().values()) == {"fresh"}


def test_a_source_never_seen_is_blocked() -> None:
    bench = Bench(target("a", sources={"file": Source("file")}))
    bench.gone.add("file")
    assert bench.states() == {"a": "blocked"}


def test_missing_objects_matter_when_needed() -> None:
    bench = chain()
    bench.build()
    record = bench.store.records[bench.store.pointers["a"]]
    bench.store.lost.add(record.outputs[0].sha256)
    assert set(bench.states().values()) == {"fresh"}
    bench.set("d", x=2)  # reads only the file that is there
    assert bench.states()["a"] == "fresh"
    bench.set("c", x=2)  # reads b, which is there
    assert bench.states()["a"] == "fresh"
    bench.set("b", x=2)
    plan = bench.plan()
    assert plan["a"].state == "stale"
    assert plan["a"].reasons == (Reason("output-missing", "out"),)
    # What is restored comes out as before: what else hangs on it keeps its state.
    assert plan["d"].state == "stale"
    assert plan["c"].state == "stale"


def test_code_changes_name_the_modules() -> None:
    bench = Bench(target("a", work="one"), target("b", "a", work="two"))
    bench.build()
    bench.code["two"] = Code("other", {"work": "2", "more": "3"})
    plan = bench.plan()
    assert plan["a"].state == "fresh"
    assert plan["b"].reasons == (
        Reason("code-changed", "more", None, "3"),
        Reason("code-changed", "work", "1", "2"),
    )


def test_no_target_whose_result_is_known_is_stale_in_a_deep_graph() -> None:
    names = [f"t{number}" for number in range(3000)]
    bench = Bench(*(target(b, a) for a, b in pairwise(names)), target(names[0]))
    bench.build()
    assert set(bench.states().values()) == {"fresh"}


def test_leaves_and_origins() -> None:
    old = {"a": 1, "deep": {"x": [1], "y": {"z": None}}, "gone": 0}
    new = {"a": 1.0, "deep": {"x": [1, 2], "y": {"z": None}}, "new": None}
    found = {path: (before, after) for path, before, after in changed_leaves(old, new)}
    assert set(found) == {"a", "deep.x", "gone", "new"}
    one = target("t", origins={"train": "student.training", "train.steps": "student.steps"})
    assert spec_path(one, "train.rate.low") == "student.training.rate.low"
    assert spec_path(one, "train.steps") == "student.steps"
    assert spec_path(one, "other") == "other"
