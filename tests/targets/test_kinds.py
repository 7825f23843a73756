"""A kind of target describes itself, and all that must know of it asks it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import grimp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resolver import POET, TINY, edited, isolated_verse, with_verse

import specs
from nexusbuild.plugins import (
    Graph,
    Needs,
    ResolveError,
    SpecFolder,
    Target,
    input_target,
)
from targets.budget.devices import GIGABYTE
from targets.budget.needs import HELD_BYTES_PER_TOKEN
from targets.commands.budget import Limits, budget_of, misfits
from targets.declaring.kind import Context, Kind, Per
from targets.resolver import resolve
from targets.resolver.kinds import find_kinds
from targets.resolver.order import in_order

ROOT = Path(__file__).parents[2]
FOLDERS = {path.parent.name for path in (ROOT / "targets").glob("*/target.py")}


def opening() -> set[str]:
    return {kind.name for kind in find_kinds().kinds.values() if kind.opens_teacher}


def one(context: Context) -> Iterator[Target]:
    yield Target(id="extra", work="targets.registry.work:build", settings={"seed": 1})


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return tmp_path / "nexus.yaml"


# What kinds say, and who goes by it.


def test_every_folder_with_a_declaration_is_a_kind() -> None:
    assert find_kinds().kinds.keys() == FOLDERS


def test_targets_are_named_as_their_kind_says(spec: Path) -> None:
    spec.write_text(with_verse(TINY), encoding="utf-8")
    declared = specs.load(spec)
    teachers = [teacher.id for teacher in declared.teachers]
    names = {
        Per.BUILD: {""},
        Per.DATA_SET: set(declared.datasets),
        Per.TEACHER: set(teachers),
        Per.TEACHER_AND_CAPABILITY: {f"{a}/{b}" for a in teachers for b in declared.capabilities},
        Per.CAPABILITY: {*declared.capabilities, "backbone", "router"},
    }
    kinds = find_kinds().kinds
    for target in resolve(spec, {}):
        assert target.name in names[kinds[target.kind].per], target.id


def test_what_opens_a_teacher_says_so(spec: Path) -> None:
    """A teacher's weights are a source, or the output of a target that makes one."""
    spec.write_text(with_verse(TINY), encoding="utf-8")
    kinds, graph = find_kinds().kinds, resolve(spec, {})
    for target in graph:
        made = [graph[input_target(each)] for each in target.inputs.values()]
        takes_in = "model" in target.sources or any(kinds[one.kind].makes_teacher for one in made)
        assert kinds[target.kind].opens_teacher == takes_in, target.id


def test_the_contract_on_imports_lets_in_what_says_that_it_opens_a_teacher() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.partition('"only kinds that say so open a teacher"')[2].partition("[[")[0]
    let_in = re.findall(r'"targets\.(\w+)\.\*\* -> \*\*"', contract)
    assert sorted(let_in) == sorted(opening())


def test_no_other_code_of_targets_reaches_what_opens_a_teacher() -> None:
    """Neither itself nor by way of a kind that may."""
    packages = ("targets", "modalities", "opened_models", "training", "raw_data", "nexus")
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    rooms = {each.removeprefix("targets.") for each in graph.find_children("targets")}
    reaching = {
        room
        for room in rooms
        if graph.chain_exists(f"targets.{room}", "opened_models.loading", as_packages=True)
    }
    assert reaching == opening()


def test_one_capability_s_chain() -> None:
    chain = {kind.name for kind in find_kinds().kinds.values() if kind.in_chain}
    assert chain == {"architecture", "adapter", "pack", "score", "gate"}


def test_only_lists_take_in_what_is_isolated(spec: Path) -> None:
    """Whatever else has an isolated capability's target among its inputs is refused."""
    spec.write_text(isolated_verse(), encoding="utf-8")
    graph, kinds = resolve(spec, {}), find_kinds().kinds
    own = {each.id for each in graph if "verse" in each.name or each.name.startswith("poe")}
    others = [each for each in graph if each.id not in own]
    readers = {
        kinds[target.kind].name
        for target in others
        if any(input_target(each) in own for each in target.inputs.values())
    }
    assert readers == {kind.name for kind in kinds.values() if kind.lists_only}


# Kinds that others bring.


def brought(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr("targets.resolver.kinds._brought", lambda: {place: "extra"})


EXTRA = Kind(name="extra", per=Per.BUILD, declare=one)
OTHER = Kind(name="other", per=Per.BUILD, declare=one)
TWIN = Kind(name="router", per=Per.BUILD, declare=one)


def test_a_kind_of_another_package_is_built_with_the_rest(
    monkeypatch: pytest.MonkeyPatch, spec: Path
) -> None:
    spec.write_text(TINY, encoding="utf-8")
    before = list(resolve(spec, {}).targets)
    brought(monkeypatch, "test_kinds:EXTRA")
    after = resolve(spec, {})
    assert set(after.targets) - set(before) == {"extra"}
    assert [name for name in after.targets if name != "extra"] == before
    assert after["extra"].needs.ram_bytes == GIGABYTE // 2
    assert after["extra"].expected_seconds


def test_kinds_are_found_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "brought.py").write_text(
        "from targets.declaring.kind import Kind, Per\n"
        "KIND = Kind(name='extra', per=Per.BUILD, declare=lambda context: iter(()))\n"
    )
    about = tmp_path / "brought-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[nexus.kinds]\nextra = brought:KIND\n")
    code = "from targets.resolver.kinds import find_kinds; print(find_kinds().kinds['extra'].name)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.stdout == "extra\n", ran.stderr


def test_a_kind_declares_targets_of_its_own_alone(
    monkeypatch: pytest.MonkeyPatch, spec: Path
) -> None:
    spec.write_text(TINY, encoding="utf-8")
    monkeypatch.setattr("targets.resolver.kinds._brought", lambda: {"test_kinds:OTHER": "other"})
    with pytest.raises(ResolveError, match="the kind other declares extra"):
        resolve(spec, {})


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("test_kinds:OTHER", "test_kinds:OTHER is called other, and extra where it is found"),
        ("test_kinds:TINY", "no kind of target is at test_kinds:TINY: it is a str, not a Kind"),
        ("test_kinds:NOTHING", "no kind of target is at test_kinds:NOTHING: AttributeError"),
        ("no.such.module:KIND", "no kind of target is at no.such.module:KIND: ModuleNotFound"),
    ],
)
def test_a_kind_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, says: str
) -> None:
    brought(monkeypatch, place)
    with pytest.raises(ResolveError, match=re.escape(says)):
        find_kinds()


def test_a_kind_that_is_there_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("targets.resolver.kinds._brought", lambda: {"test_kinds:TWIN": "router"})
    with pytest.raises(ResolveError, match="the kind router is there twice"):
        find_kinds()


def test_a_new_folder_is_noticed() -> None:
    """What the resolver saw says so, and a kept graph is used no longer."""
    (seen,) = find_kinds().seen
    assert seen.holds()
    assert {Path(path).parent.name for path, _ in seen.answer} == FOLDERS
    assert not replace(seen, answer=(*seen.answer, ("extra/target.py", 1))).holds()


# The order.


@pytest.mark.parametrize("file", ["nexus.yaml", "tests/tiny.yaml", "examples/grow/nexus.yaml"])
@given(shuffle=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_is_that_of_the_graph_alone(file: str, shuffle: Random) -> None:
    """Whatever is declared first, each target comes after its inputs, and in one place."""
    graph, kinds, declared = resolve(ROOT / file, {}), find_kinds().kinds, specs.load(ROOT / file)
    targets = list(graph)
    shuffle.shuffle(targets)
    found = [target.id for target in in_order(targets, kinds, declared)]
    assert found == list(graph.targets)
    place = {name: index for index, name in enumerate(found)}
    for target in graph:
        assert all(place[input_target(each)] < place[target.id] for each in target.inputs.values())


def test_what_belongs_together_stands_together() -> None:
    found = [target.id for target in resolve(ROOT / "nexus.yaml", {})]
    teacher = found.index("trained_teacher:scholar")
    assert found[teacher : teacher + 5] == [
        "trained_teacher:scholar", "teacher:scholar", "baseline:scholar/reasoning",
        "profile:scholar/reasoning", "trace:scholar/reasoning",
    ]  # fmt: skip
    links = [f"{kind}:code" for kind in ("architecture", "adapter", "pack", "score", "gate")]
    assert found[found.index(links[0]) :][:5] == links
    assert found[-4:] == ["router", "pack:router", "gate:router", "bundle"]


def test_targets_that_wait_for_each_other_come_last_and_none_is_lost() -> None:
    def target(name: str, *inputs: str) -> Target:
        return Target(name, "a:b", {}, inputs={each: each for each in inputs})

    circle = [target("score:code", "gate:code"), target("gate:code", "score:code")]
    targets = [*circle, target("router", "nothing:there")]
    found = in_order(targets, find_kinds().kinds, specs.load(ROOT / "nexus.yaml"))
    assert [each.id for each in found] == ["router", "score:code", "gate:code"]


# Estimates.


def estimated(spec: Path, text: str) -> Graph:
    spec.write_text(text, encoding="utf-8")
    return resolve(spec, {})


def model(spec: Path, name: str, parameters: int, **config: int) -> None:
    """A folder with a model of this size; the file has no bytes on the disk."""
    folder = spec.parent / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(2 * parameters)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def student_with_init(spec: Path, **config: int) -> Graph:
    model(spec, "start", 600_000_000, **config)
    return estimated(spec, edited(TINY, "backbone: {", "backbone: {init: {path: models/start}, "))


def test_a_large_vocabulary_of_a_model_to_start_from_is_counted(spec: Path) -> None:
    """Three copies of the logits of every token, in fp32."""
    needed = [
        student_with_init(spec, vocab_size=size, hidden_size=1024, num_hidden_layers=28)[
            "backbone"
        ].needs.ram_bytes
        for size in (50_000, 150_000)
    ]
    tokens = 45 * 16
    assert needed[1] - needed[0] == 3 * 4 * 100_000 * tokens


def test_a_vocabulary_taken_from_a_teacher_is_counted(spec: Path) -> None:
    text = edited(
        with_verse(TINY),
        "student:\n  tokenizer: {kind: bpe, vocab: 320}",
        "student:\n  tokenizer: {kind: teacher, teacher: poet}",
    )
    needed = []
    for size in (320, 150_000):
        model(spec, "poet", 700_000_000, vocab_size=size)
        needed.append(estimated(spec, text)["backbone"].needs)
    small, large = needed
    # Embedding and head.
    assert large.disk_bytes - small.disk_bytes == 4 * 2 * 64 * (150_000 - 320)
    assert large.ram_bytes > small.ram_bytes


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        '{"vocab_size": "many"}',
        '{"vocab_size": -1}',
        "\udcff",
        "[" * 5000,
        '{"hidden_size": 1%s}' % ("0" * 400),
    ],
)
def test_a_configuration_that_says_nothing_is_not_believed(spec: Path, config: str) -> None:
    model(spec, "start", 600_000_000)
    file = spec.parent / "models" / "start" / "config.json"
    file.write_bytes(config.encode("utf-8", "surrogateescape"))
    text = edited(TINY, "backbone: {", "backbone: {init: {path: models/start}, ")
    assert estimated(spec, text)["backbone"].needs.disk_bytes == 4 * 600_000_000


def test_a_small_file_that_was_read_is_noticed_when_it_changes(tmp_path: Path) -> None:
    folder = SpecFolder(tmp_path)
    assert folder.text("about.json") is None
    (tmp_path / "about.json").write_text('{"rows": 3}')
    assert not folder.seen[0].holds()
    folder = SpecFolder(tmp_path)
    assert folder.text("about.json") == '{"rows": 3}'
    assert folder.seen[0].holds()
    (tmp_path / "about.json").write_text('{"rows": 4}')
    assert not folder.seen[0].holds()


def test_what_is_no_small_file_of_text_is_not_read(tmp_path: Path) -> None:
    """A pipe would wait for a writer for as long as there is none."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate((1 << 20) + 1)
    folder = SpecFolder(tmp_path)
    assert [folder.text(name) for name in ("pipe", "folder", "bytes", "large", "a\0b")] == [
        None
    ] * 5


def test_rows_are_those_that_an_earlier_build_counted(spec: Path) -> None:
    about = spec.parent / "build" / "dataset" / "poems" / "about.json"

    def seconds(text: str) -> float:
        return estimated(spec, text)["trace:poet/verse"].expected_seconds or 0

    guessed = seconds(with_verse(TINY))
    about.parent.mkdir(parents=True)
    rows = {"train": 50_000, "validation": 200, "eval": 1000, "pilot": 240}
    about.write_text(json.dumps({"rows": rows}), encoding="utf-8")
    counted = seconds(with_verse(TINY))
    assert counted > 4 * guessed
    said = edited(with_verse(TINY), "{path: poems.jsonl,", "{path: poems.jsonl, rows: 10000,")
    assert seconds(said) == guessed
    about.write_text(json.dumps({"rows": {**rows, "train": "many"}}), encoding="utf-8")
    assert seconds(with_verse(TINY)) == guessed


def test_what_a_trace_holds_while_an_adapter_trains_is_counted(spec: Path) -> None:
    """In main memory, and for each trace of it."""

    def held(rows: int, text: str = TINY) -> int:
        text = edited(text, "device: cpu", "device: cuda")
        text = edited(text, "functions, rows: 300", f"functions, rows: {rows}")
        return estimated(spec, text)["adapter:code"].needs.ram_bytes - GIGABYTE

    train = 100_000 - 80
    assert held(100_000) == train * 45 * HELD_BYTES_PER_TOKEN
    second = edited(TINY, "\ncapabilities:\n", f"{POET.replace('verse', 'code')}\ncapabilities:\n")
    assert held(100_000, second) == 2 * held(100_000)


def test_a_smaller_batch_that_would_fit_does(spec: Path) -> None:
    """Of whatever kind says that it trains in steps."""
    text = edited(TINY, "hidden: 64, layers: 2, heads: 4, intermediate: 128, steps: 40, batch: 16",
                  "steps: 40, batch: 512")  # fmt: skip
    spec.write_text(text, encoding="utf-8")
    granted = 12 * GIGABYTE
    (misfit,) = misfits(budget_of(specs.load(spec), spec, {}, Limits(None, granted, None)))
    assert misfit.targets == ("backbone",)
    rows = int(misfit.remedies[0].removeprefix("student.backbone.batch: "))
    fitting = edited(text, "batch: 512", f"batch: {rows}")
    spec.write_text(fitting, encoding="utf-8")
    assert not misfits(budget_of(specs.load(spec), spec, {}, Limits(None, granted, None)))


def test_a_spec_is_declared_as_it_is_written(spec: Path) -> None:
    """Sizes that are found for the estimates change no declaration."""
    text = edited(TINY, "backbone: {", "backbone: {init: {path: models/start}, ")
    before = estimated(spec, text)
    model(spec, "start", 600_000_000, vocab_size=150_000)
    after = estimated(spec, text)
    for target in after:
        assert replace(target, needs=Needs(), expected_seconds=None) == replace(
            before[target.id], needs=Needs(), expected_seconds=None
        )
    assert after["backbone"].needs != before["backbone"].needs
