"""Random graphs under random edits, against an oracle that makes everything from nothing.

The oracle knows neither keys nor records: it evaluates every target of a state of the world, and
says what a target was given. What the builder leaves must be what the oracle makes; what it runs
must be exactly what it was never given before; what the dry run said must come true.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline import InlineProject

from nexusbuild.plugins import Graph, Source, Target, input_file, input_target

PACKAGE = "random_work"
MODULES = ("one", "two")
FUNCTIONS = ("whole", "first_letters")
SOURCES = ("a.txt", "b.txt")

# What work does, as text: a module of the project for the builder, and a function for the oracle.
# Half of all changes of VERSION change no output; `first_letters` ends most waves.
WORK = '''
import hashlib
import json


def outcome(function, version, target, value, texts):
    """out.txt depends on everything, part.txt on the setting alone."""
    everything = json.dumps([version // 2, target, value, texts])
    digest = hashlib.sha256(everything.encode()).hexdigest()
    if function == "first_letters":
        digest = "".join(sorted({text[:1] for _, text in texts})) + str(value // 2)
    return {"out.txt": digest, "part.txt": f"part {value}"}


def make(function, job):
    texts = []
    for role, path in [*job.inputs.items(), *job.sources.items()]:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            texts.append([f"{role}/{file.name}", file.read_text()])
    made = outcome(function, VERSION, job.target, job.settings["value"], texts)
    for name, text in made.items():
        (job.out / name).write_text(text)


def whole(job):
    make("whole", job)


def first_letters(job):
    make("first_letters", job)
'''

oracle: dict[str, Any] = {}
exec(WORK, oracle)

World = dict[str, Any]
"""targets: id -> its parts; sources: file -> text; code: module -> version and remark."""


def resolve(spec: Path, lock_values: Mapping[str, Any]) -> Graph:
    return Graph(
        {
            name: Target(
                id=name,
                work=f"{PACKAGE}.{body['module']}:{body['function']}",
                settings={"value": body["value"], "seed": 0},
                inputs=body["inputs"],
                sources={f"source {path}": Source(path) for path in body["sources"]},
            )
            for name, body in json.loads(spec.read_text()).items()
        }
    )


@dataclass(frozen=True)
class Given:
    """All that a target was given. own: without its inputs; read: role of an input -> texts."""

    own: str
    read: tuple[tuple[str, str], ...]

    def may_be(self, other: Given, open_roles: set[str]) -> bool:
        """Whether the two agree, as far as is known while these roles are not."""
        mine, others = dict(self.read), dict(other.read)
        known = mine.keys() - open_roles
        return (
            self.own == other.own
            and mine.keys() == others.keys()
            and all(mine[role] == others[role] for role in known)
        )


class Evaluated:
    """A world made from nothing. outputs: target -> file -> text; given: target -> what it was."""

    def __init__(self, world: World) -> None:
        self.outputs: dict[str, dict[str, str]] = {}
        self.given: dict[str, Given] = {}
        for name, body in world["targets"].items():  # each after its inputs
            read = []
            for role, reference in sorted(body["inputs"].items()):
                made = self.outputs[input_target(reference)]
                file = input_file(reference)
                for path in [file] if file is not None else sorted(made):
                    read.append((role, f"{role}/{path}", made[path]))
            sources = [
                [f"source {path}/{path}", world["sources"][path]] for path in body["sources"]
            ]
            version = world["code"][body["module"]][0]
            own = (body["function"], version, name, body["value"])
            texts = [*([path, text] for _, path, text in read), *sorted(sources)]
            self.outputs[name] = oracle["outcome"](*own, texts)
            self.given[name] = Given(
                json.dumps([body["module"], own, sources]),
                tuple(
                    (role, json.dumps([e for e in read if e[0] == role])) for role in body["inputs"]
                ),
            )


def new_target(draw: st.DataObject, world: World, name: str) -> None:
    inputs = {}
    for other in world["targets"]:
        reference = draw.draw(st.sampled_from([None, None, other, f"{other}#part.txt"]))
        if reference is not None:
            inputs[other] = reference
    world["targets"][name] = {
        "module": draw.draw(st.sampled_from(MODULES)),
        "function": draw.draw(st.sampled_from(FUNCTIONS)),
        "value": draw.draw(VALUES),
        "inputs": inputs,
        "sources": draw.draw(st.lists(st.sampled_from(SOURCES), unique=True, max_size=1)),
    }


VALUES = st.integers(0, 3)
TEXTS = st.sampled_from(["x one", "x two", "y"])
EDITS = ("setting", "source", "code", "remark", "input", "work", "new", "remove", "undo", "nothing")


def edited(draw: st.DataObject, world: World, before: list[World]) -> World:
    """The world after one more edit; small ranges of values, so that much comes back."""
    world = copy.deepcopy(world)
    targets = world["targets"]
    names = st.sampled_from(list(targets))
    match draw.draw(st.sampled_from(EDITS)):
        case "setting":
            targets[draw.draw(names)]["value"] = draw.draw(VALUES)
        case "source":
            world["sources"][draw.draw(st.sampled_from(SOURCES))] = draw.draw(TEXTS)
        case "code":
            world["code"][draw.draw(st.sampled_from(MODULES))][0] = draw.draw(VALUES)
        case "remark":
            world["code"][draw.draw(st.sampled_from(MODULES))][1] = draw.draw(VALUES)
        case "input":
            name = draw.draw(names)
            earlier = list(targets)[: list(targets).index(name)]
            if earlier:
                other = draw.draw(st.sampled_from(earlier))
                targets[name]["inputs"].pop(other, None)
                reference = draw.draw(st.sampled_from([None, other, f"{other}#part.txt"]))
                if reference is not None:
                    targets[name]["inputs"][other] = reference
        case "work":
            targets[draw.draw(names)]["function"] = draw.draw(st.sampled_from(FUNCTIONS))
        case "new":
            name = f"kind:{draw.draw(st.integers(0, 9))}"
            if name not in targets:
                new_target(draw, world, name)
        case "remove":
            used = {each for body in targets.values() for each in body["inputs"]}
            unused = [name for name in targets if name not in used]
            if len(targets) > 1:
                del targets[draw.draw(st.sampled_from(unused))]
        case "undo":
            world = copy.deepcopy(draw.draw(st.sampled_from(before)))
    return world


class RandomProject(InlineProject):
    def write(self, world: World) -> None:
        self.spec.write_text(json.dumps(world["targets"]))
        files = dict(world["sources"])
        for module, (version, remark) in world["code"].items():
            text = f"# remark {remark}\nVERSION = {version}\n{WORK}"
            files[f"{PACKAGE}/{module}.py"] = text
        for path, text in files.items():
            place = self.folder / path
            place.parent.mkdir(exist_ok=True)
            if not place.exists() or place.read_text() != text:
                place.write_text(text)


@pytest.fixture(scope="module")
def project(folder_in_memory: Path) -> Iterator[RandomProject]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder_in_memory))
        yield RandomProject(folder_in_memory, f"{__name__}:resolve")


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_random_edits_of_random_graphs(project: RandomProject, data: st.DataObject) -> None:
    for name in (".nexus", "build"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    world: World = {
        "targets": {},
        "sources": dict.fromkeys(SOURCES, "x one"),
        "code": {module: [0, 0] for module in MODULES},
    }
    for number in range(data.draw(st.integers(1, 6), label="targets")):
        new_target(data, world, f"kind:{number}")
    before: list[World] = []
    known: set[Given] = set()
    for _ in range(data.draw(st.integers(1, 8), label="edits")):
        project.write(world)
        known |= check_build(project, world, known)
        before.append(world)
        world = edited(data, world, before)


def check_build(project: RandomProject, world: World, known: set[Given]) -> set[Given]:
    """Build, and compare with the oracle; all that was given. known: what ever was, so far."""
    truth = Evaluated(world)
    plan = {target: step.state for target, step in project.plan().items()}
    states = project.states_of(project.build())
    ran = {target for target, state in states.items() if state == "built"}
    # It runs what was never given this before, and nothing else.
    assert ran == {target for target in truth.given if truth.given[target] not in known}
    for target, outputs in truth.outputs.items():
        found = {path: content.decode() for path, content in project.outputs(target).items()}
        assert found == outputs, target
    # What the plan said came true, and it said all that can be known beforehand.
    assert plan.keys() == states.keys()
    for target, state in plan.items():
        assert state == predicted(target, world, truth, known, plan, states)
    return set(truth.given.values())


def predicted(
    target: str,
    world: World,
    truth: Evaluated,
    known: set[Given],
    plan: Mapping[str, str],
    states: Mapping[str, str],
) -> str:
    """The state that the plan must give, from what is known while its inputs may yet be built."""
    inputs = world["targets"][target]["inputs"]
    open_roles = {role for role in inputs if plan[role] in ("stale", "maybe")}
    if not any(truth.given[target].may_be(each, open_roles) for each in known):
        return "stale"
    return "maybe" if open_roles else states[target]


def test_one_leaf_of_a_thousand(project: RandomProject) -> None:
    """Its output does not change, and so exactly one target runs."""
    for name in (".nexus", "build"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    leaf = {"module": "one", "function": "first_letters", "inputs": {}, "sources": []}
    targets: World = {f"leaf:{number}": {**leaf, "value": 0} for number in range(1000)}
    leaves = list(targets)
    targets["top"] = {**leaf, "value": 0, "inputs": {name: f"{name}#out.txt" for name in leaves}}
    world: World = {"targets": targets, "sources": {}, "code": {"one": [0, 0]}}
    project.write(world)
    project.build()
    targets["leaf:500"]["value"] = 1  # first_letters halves it: out.txt stays
    project.write(world)
    plan = {target: step.state for target, step in project.plan().items() if step.runs}
    assert plan == {"leaf:500": "stale", "top": "maybe"}
    states = project.states_of(project.build())
    assert [target for target, state in states.items() if state == "built"] == ["leaf:500"]
