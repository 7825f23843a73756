"""Every row of the contract "What makes what stale", on the graph that the resolver makes.

The spec, the resolver, the lock and the engine are the real ones. Only the work is swapped, target
by target, for work that costs nothing and whose every output depends on all that it was given: so
nothing is left out because some output happened to come out the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from inline import InlineProject, undone

from nexusbuild.plugins import Graph, Target, input_file, input_target
from nexusbuild.rule.lock import read_lock, write_lock
from targets.resolver import resolve as resolve_spec

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "quick_work"

# One module per kind: `folder` files, which other targets name, and one that nobody names.
WORK = '''
import hashlib
import json
from pathlib import Path

VERSION = 1


def build(job):
    """A file per name, each a digest of all that this was given."""
    parts = [json.dumps(job.settings, sort_keys=True), str(VERSION), job.target]
    for role, path in [*job.inputs.items(), *job.sources.items()]:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file.is_file():
                parts += [role, file.name, file.read_text()]
    digest = hashlib.sha256("\\n".join(parts).encode()).hexdigest()
    for name in FILES:
        (job.out / name).parent.mkdir(parents=True, exist_ok=True)
        (job.out / name).write_text(f"{name} {digest}")
    if job.target.startswith("gate"):
        verdict = {"verdict": "pass", "summary": digest}
        (job.out / "verdict.json").write_text(json.dumps(verdict))
'''


def resolve(spec: Path, lock_values: Mapping[str, Any]) -> Graph:
    """The real graph, with `targets.KIND.work:...` swapped for `quick_work.KIND:build`."""
    graph = resolve_spec(spec, lock_values)
    targets = {
        target.id: replace(target, work=f"{PACKAGE}.{target.work.split('.')[1]}:build")
        for target in graph
    }
    return replace(graph, targets=targets, preload=())


def module_of(target: Target) -> str:
    return target.work.partition(".")[2].partition(":")[0]


def write_work(folder: Path, graph: Graph) -> None:
    """A module per kind, which writes what others read of that kind."""
    named = {module_of(target): {"result.txt"} for target in graph}
    for target in graph:
        for reference in target.inputs.values():
            file = input_file(reference)
            if file is not None:
                named[module_of(graph[input_target(reference)])].add(
                    file if "." in file else f"{file}/it.json"
                )
    (folder / PACKAGE).mkdir()
    (folder / PACKAGE / "__init__.py").write_text("")
    for module, files in named.items():
        text = f"{WORK}\n\nFILES = {sorted(files)}\n"
        (folder / PACKAGE / f"{module}.py").write_text(text)


TRAINED = {"train": {"family": "gpt2", "hidden": 64, "layers": 2, "heads": 2, "steps": 9}}


def of_files(path: str) -> dict[str, Any]:
    return {"path": f"data/{path}", "prompt": "p", "response": "r", "licence": "MIT"}


def base_spec() -> dict[str, Any]:
    """The sample, with data sets and a teacher of files, the isolated capability's among them."""
    spec: dict[str, Any] = yaml.safe_load((ROOT / "nexus.yaml").read_text(encoding="utf-8"))
    spec["datasets"]["functions"] = {**of_files("functions/*.jsonl"), "tests": "t"}
    del spec["datasets"]["plain_talk"]
    spec["datasets"]["plain"] = of_files("plain.jsonl")
    spec["teachers"][2]["source"] = {"path": "models/coder"}
    spec["teachers"][3] = {
        "id": "frank", "source": TRAINED, "licence": "MIT", "capabilities": ["uncensored"],
    }  # fmt: skip
    spec["capabilities"]["uncensored"] = {
        "dataset": "plain", "metric": "exact_match", "isolated": True,
    }  # fmt: skip
    spec["contracts"]["uncensored"] = {"retain_fraction": 0.9}
    return spec


class Sample(InlineProject):
    """The project, with edits of its spec."""

    def read(self) -> dict[str, Any]:
        spec: dict[str, Any] = yaml.safe_load(self.spec.read_text(encoding="utf-8"))
        return spec

    def write(self, spec: Mapping[str, Any]) -> None:
        self.spec.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        spec = self.read()
        edit(spec)
        self.write(spec)

    def code(self, kind: str, old: str, new: str) -> None:
        path = self.folder / PACKAGE / f"{kind}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def sample(folder_in_memory: Path) -> Iterator[Sample]:
    """The sample, built once; every test leaves its files as they were."""
    folder = folder_in_memory
    for name in ("functions/a", "functions/b", "plain", "sums", "secret"):
        path = folder / f"data/{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"p": f"write {name}", "r": name}) + "\n")
    (folder / "models/coder").mkdir(parents=True)
    (folder / "models/coder/config.json").write_text('{"model_type": "llama"}')
    (folder / "models/coder/model.safetensors").write_text("weights")
    project = Sample(folder, f"{__name__}:resolve")
    project.write(base_spec())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        graph = resolve(project.spec, {})
        write_work(folder, graph)
        report = project.build()
        assert set(project.states_of(report).values()) == {"built"}
        yield project


def chain(*capabilities: str) -> set[str]:
    kinds = ("architecture", "adapter", "pack", "score", "gate")
    return {f"{kind}:{name}" for kind in kinds for name in capabilities}


def taught(teacher: str, capability: str, trained: bool = True) -> set[str]:
    """A teacher's own targets."""
    own = {f"{kind}:{teacher}/{capability}" for kind in ("baseline", "profile", "trace")}
    return own | {f"teacher:{teacher}"} | ({f"trained_teacher:{teacher}"} if trained else set())


ROUTER = {"router", "pack:router", "gate:router"}
LISTS = {"registry", "bundle"}
PINNED = {"tokenizer", "architecture:backbone", "backbone", "pack:backbone"}
OPEN = ("reasoning", "tools", "code")
ALL = (*OPEN, "uncensored")


@dataclass(frozen=True)
class Row:
    """An edit, and what is rebuilt; None: everything."""

    edit: Callable[[Sample], object]
    rebuilt: set[str] | None


def in_spec(edit: Callable[[dict[str, Any]], object]) -> Callable[[Sample], object]:
    return lambda sample: sample.change(edit)


def new_capability(spec: dict[str, Any], name: str = "sums", **about: Any) -> None:
    """Capability `name` with its own data, and a teacher `<name>_reader` for it."""
    spec["datasets"][name] = of_files(f"{name}.jsonl")
    teacher = {"id": f"{name}_reader", "source": TRAINED, "capabilities": [name], "licence": "MIT"}
    spec["teachers"].append(teacher)
    spec["capabilities"][name] = {"dataset": name, "metric": "final_answer", **about}
    spec["contracts"][name] = {"retain_fraction": 0.5}
    spec["bundle"]["include"].append(name)


def second_teacher(spec: dict[str, Any]) -> None:
    spec["teachers"].append(
        {"id": "reader", "source": TRAINED, "licence": "MIT", "capabilities": ["reasoning"]}
    )


def no_tools(spec: dict[str, Any]) -> None:
    spec["teachers"] = [each for each in spec["teachers"] if each["id"] != "operator"]
    for part in ("capabilities", "contracts"):
        del spec[part]["tools"]
    spec["bundle"]["include"].remove("tools")


def rows_of_a_train_sample(spec: dict[str, Any]) -> None:
    spec["datasets"]["tool_calls"]["rows"] += 1


def add_row(sample: Sample) -> None:
    path = sample.folder / "data/functions/a.jsonl"
    path.write_text(path.read_text() + json.dumps({"p": "one more", "r": "row"}) + "\n")


def add_file(sample: Sample) -> None:
    (sample.folder / "data/functions/c.jsonl").write_text(json.dumps({"p": "c", "r": "c"}) + "\n")


# Its teacher is a folder of files, which no row changes.
FROM_FUNCTIONS = {
    "dataset:functions", *taught("coder", "code", trained=False) - {"teacher:coder"},
    *chain("code"), *ROUTER, "bundle",
}  # fmt: skip

ROWS: dict[str, Row] = {
    "key order, comments and white space of the spec": Row(
        lambda sample: sample.spec.write_text(
            "# a remark\n\n" + yaml.safe_dump(sample.read(), sort_keys=True, indent=7)
        ),
        set(),
    ),
    "comments and docstrings in code": Row(
        lambda sample: sample.code("adapter", '"""A file', '# a remark\n    """In short: a file'),
        set(),
    ),
    "contracts.X.retain_fraction": Row(
        in_spec(lambda spec: spec["contracts"]["tools"].update(retain_fraction=0.98)),
        {"gate:tools", "bundle"},
    ),
    "contracts.X.metric": Row(
        in_spec(lambda spec: spec["contracts"]["tools"].update(metric="exact_match")),
        {"gate:tools", "bundle"},
    ),
    "contracts.X.confidence": Row(
        in_spec(lambda spec: spec["contracts"]["tools"].update(confidence=0.9)),
        {"gate:tools", "bundle"},
    ),
    "contracts.router.at_least": Row(
        in_spec(lambda spec: spec["contracts"]["router"].update(at_least=0.5)),
        {"gate:router", "bundle"},
    ),
    "a new teacher for a new capability": Row(
        in_spec(new_capability),
        {"dataset:sums"} | taught("sums_reader", "sums") | chain("sums") | ROUTER | LISTS,
    ),
    "a new teacher for a new isolated capability": Row(
        in_spec(lambda spec: new_capability(spec, "secret", isolated=True)),
        {"dataset:secret"} | taught("secret_reader", "secret") | chain("secret") | LISTS,
    ),
    "a second teacher for an existing capability": Row(
        in_spec(second_teacher), taught("reader", "reasoning") | chain("reasoning") | LISTS
    ),
    "a teacher's weights": Row(
        lambda sample: (sample.folder / "models/coder/model.safetensors").write_text("others"),
        taught("coder", "code", trained=False) | chain("code") | LISTS,
    ),
    "a row added to a data set": Row(add_row, FROM_FUNCTIONS),
    "a file added to a data set": Row(add_file, FROM_FUNCTIONS),
    "more rows of a sample that trains its teacher": Row(
        in_spec(rows_of_a_train_sample),
        {"dataset:tool_calls"} | taught("operator", "tools") | chain("tools") | ROUTER | LISTS,
    ),
    "a training setting of X": Row(
        in_spec(lambda spec: spec["capabilities"]["code"]["training"].update(steps=601)),
        chain("code") - {"architecture:code"} | {"bundle"},
    ),
    "a training setting of all that do not say their own": Row(
        in_spec(lambda spec: spec["student"]["training"].update(steps=701)),
        chain("uncensored") - {"architecture:uncensored"} | {"bundle"},
    ),
    "bundle.quantize": Row(
        in_spec(lambda spec: spec["bundle"].update(quantize="none")),
        {"pack:backbone", "bundle"} | ROUTER
        | chain(*ALL) - {f"architecture:{name}" for name in ALL},
    ),
    "bundle.include, one less": Row(
        in_spec(lambda spec: spec["bundle"]["include"].remove("reasoning")), ROUTER | {"bundle"}
    ),
    "bundle.include, one isolated less": Row(
        in_spec(lambda spec: spec["bundle"]["include"].remove("uncensored")), {"bundle"}
    ),
    "a teacher and its capability removed": Row(in_spec(no_tools), ROUTER | LISTS),
    "seed": Row(in_spec(lambda spec: spec.update(seed=43)), None),
    "code of score": Row(
        lambda sample: sample.code("score", "VERSION = 1", "VERSION = 2"),
        {f"{kind}:{name}" for kind in ("score", "gate") for name in ALL} | {"bundle"},
    ),
    "code of what is pinned": Row(
        lambda sample: [
            sample.code(kind, "VERSION = 1", "VERSION = 2") for kind in ("backbone", "tokenizer")
        ],
        set(),
    ),
    "code of pack, of which one target is pinned": Row(
        lambda sample: sample.code("pack", "VERSION = 1", "VERSION = 2"),
        {f"{kind}:{name}" for kind in ("pack", "score", "gate") for name in ALL}
        | {"pack:router", "gate:router", "bundle"},
    ),
    "the machine's memory and threads": Row(
        in_spec(lambda spec: spec["hardware"].update(ram="8GB", threads=2)), set()
    ),
}  # fmt: skip

EDITED = ("nexus.yaml", "nexus.lock", "data", "models", PACKAGE)


def built(sample: Sample) -> set[str]:
    """What a build now rebuilds; nothing is left to do afterwards."""
    states = sample.states_of(sample.build())
    assert set(states.values()) <= {"built", "cached", "fresh"}
    assert states_now(sample) == dict.fromkeys(states, "fresh")
    return {target for target, state in states.items() if state == "built"}


def states_now(sample: Sample) -> dict[str, str]:
    return {target: step.state for target, step in sample.plan().items()}


@pytest.mark.parametrize("name", ROWS)
def test_exactly_this_is_rebuilt_and_undone_nothing(sample: Sample, name: str) -> None:
    row = ROWS[name]
    with undone(sample.folder, EDITED):
        row.edit(sample)
        plan = sample.plan()
        expected = set(plan) if row.rebuilt is None else row.rebuilt
        # Every output of this work depends on all inputs: whatever may follow does follow.
        assert {target for target, step in plan.items() if step.runs} == expected
        assert built(sample) == expected
    undo = states_now(sample)
    assert undo == {target: "cached" if target in expected else "fresh" for target in undo}
    assert built(sample) == set()


def test_one_of_two_teachers_removed(sample: Sample) -> None:
    with undone(sample.folder, EDITED):
        sample.change(second_teacher)
        sample.build()
        sample.change(lambda spec: spec["teachers"].pop(0))
        states = states_now(sample)
        # The teacher that is gone has made the backbone, which stays.
        assert {states[target] for target in PINNED} == {"fresh"}
        assert built(sample) == chain("reasoning") | LISTS
    assert built(sample) == set()


def test_what_is_pinned_follows_only_when_upgraded(sample: Sample) -> None:
    with undone(sample.folder, EDITED):
        sample.change(new_capability)
        sample.build()
        lock = read_lock(sample.place.lock)
        write_lock(sample.place.lock, lock.without(["backbone"]))
        assert built(sample) == (
            {"architecture:backbone", "backbone", "pack:backbone", "bundle"}
            | chain(*ALL, "sums")
            | ROUTER
        )
        parts = read_lock(sample.place.lock).values["backbone"]["capabilities"]
        assert parts["sums"] == ["sums_reader"]
    assert built(sample) == set()


def test_the_graph_has_every_kind_and_the_router_nothing_isolated(sample: Sample) -> None:
    graph = resolve(sample.spec, {})
    assert len({target.kind for target in graph}) == 16
    assert {"train/reasoning", "train/code"} <= graph["router"].inputs.keys()
    assert not [role for role in graph["router"].inputs if role.endswith("uncensored")]
