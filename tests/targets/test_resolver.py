"""The graph that a spec resolves to, and what an edit of the spec makes stale in it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nexusbuild.plugins import Graph, ResolveError, Target, input_target
from targets.resolver import resolve

ROOT = Path(__file__).parents[2]
TINY = (ROOT / "tests" / "tiny.yaml").read_text(encoding="utf-8")
GATES = {f"gate:{name}" for name in ("reasoning", "tools", "code", "uncensored", "router")}
ROUTERS = {"router", "pack:router", "gate:router"}
CAPABILITIES = ("reasoning", "tools", "code")

POET = """\
  - id: poet
    source: {path: models/poet}
    licence: MIT
    capabilities: [verse]
"""


VERSE = "verse: {dataset: poems, metric: rouge_l}"


def edited(text: str, *edits: str) -> str:
    """The text with edits: old, new, old, new …; each old must be there."""
    for old, new in zip(edits[::2], edits[1::2]):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def with_verse(text: str) -> str:
    """The spec with one more capability, its data and its teacher."""
    return edited(
        text,
        "\ncapabilities:\n", f"{POET}\ncapabilities:\n  {VERSE}\n",
        "\nteachers:\n", "  poems: {path: poems.jsonl, licence: MIT}\n\nteachers:\n",
        "include: [reasoning,", "include: [verse, reasoning,",
    )  # fmt: skip


SAMPLED = ("functions", "tool_calls", "word_problems")


class Folder:
    """A folder with a spec, resolved under the lock that its first resolution gives."""

    def __init__(self, path: Path, text: str = TINY) -> None:
        self.spec = path / "nexus.yaml"
        self.before = self.resolved(text, {})
        self.lock = self.before.lock_values

    def resolved(self, text: str, lock: Mapping[str, Any] | None = None) -> Graph:
        self.spec.write_text(text, encoding="utf-8")
        return resolve(self.spec, self.lock if lock is None else lock)

    def rebuilt(self, text: str) -> set[str]:
        """What the edit would build again, if every rebuilt target came out different."""
        after = self.resolved(text)
        first, second = results(self.before, {}), results(after, results(self.before, {}))
        old = {target: result for target, (result, _) in first.items()}
        return {target for target, (result, _) in second.items() if old.get(target) != result}


def results(graph: Graph, built: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """target -> a stand-in for its result and its settings, as the rules of keys have it.

    A pinned target keeps its result while its settings and those of pinned ones above it hold.
    """
    found: dict[str, tuple[str, str]] = {}

    def of(target: Target) -> tuple[str, str]:
        if target.id not in found:
            settings = json.dumps(target.settings, sort_keys=True)
            above = {
                role: (of(graph[input_target(reference)])[0], reference)
                for role, reference in target.inputs.items()
            }
            sources = {role: source.path for role, source in target.sources.items()}
            own = json.dumps([target.id, settings, sources, above], sort_keys=True)
            result = hashlib.sha256(own.encode()).hexdigest()
            old = built.get(target.id)
            if target.pin and old and old[1] == settings and pinned_above_hold(target):
                result = old[0]
            found[target.id] = (result, settings)
        return found[target.id]

    def pinned_above_hold(target: Target) -> bool:
        return all(
            built.get(each.id, ("", ""))[0] == of(each)[0]
            for each in (graph[input_target(ref)] for ref in target.inputs.values())
            if each.pin
        )

    for target in graph:
        of(target)
    return found


def changed(before: Graph, after: Graph) -> set[str]:
    """Targets whose own settings, inputs or sources differ, or that are there only after."""
    return {target.id for target in after if before.targets.get(target.id) != target}


def chain(capability: str) -> set[str]:
    return {f"{kind}:{capability}" for kind in ("architecture", "adapter", "pack", "score", "gate")}


def chain_from_adapter(capability: str) -> set[str]:
    return chain(capability) - {f"architecture:{capability}"}


def of_teacher(teacher: str, capability: str) -> set[str]:
    opened = {f"{kind}:{teacher}/{capability}" for kind in ("baseline", "profile", "trace")}
    return opened | {f"teacher:{teacher}"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# What makes what stale.


def test_layout_and_comments(folder: Folder) -> None:
    text = edited(TINY, "seed: 7\n", "", "nexus: 1\n", "seed:   7   # moved\nnexus: 1\n")
    assert folder.rebuilt(text) == set()
    assert changed(folder.before, folder.resolved(text)) == set()


@pytest.mark.parametrize(
    "contract",
    [
        "retain_fraction: 0.98",
        "retain_fraction: 0.01, metric: exact_match",
        "retain_fraction: 0.01, confidence: 0.95",
        "retain_fraction: 0.01, teacher_at_least: 0.9",
    ],
)
def test_a_contract(folder: Folder, contract: str) -> None:
    text = edited(TINY, "reasoning: {retain_fraction: 0.01}", f"reasoning: {{{contract}}}")
    assert folder.rebuilt(text) == {"gate:reasoning", "bundle"}


def test_the_router_s_contract(folder: Folder) -> None:
    text = edited(TINY, "at_least: 0.05", "at_least: 0.06")
    assert folder.rebuilt(text) == {"gate:router", "bundle"}


def test_a_new_teacher_for_a_new_capability(folder: Folder) -> None:
    expected = {"dataset:poems", *of_teacher("poet", "verse"), *chain("verse")}
    assert folder.rebuilt(with_verse(TINY)) == expected | ROUTERS | {"registry", "bundle"}
    graph = folder.resolved(with_verse(TINY))
    assert graph.lock_values == folder.lock
    assert graph.notes == (
        "tokenizer is pinned and was made without poems; "
        "`nexusbuild lock --upgrade tokenizer` would make it again with what the spec has today",
        "backbone is pinned and was made without poet/verse; "
        "`nexusbuild lock --upgrade backbone` would make it again with what the spec has today",
    )


def test_a_second_teacher_for_a_capability(folder: Folder) -> None:
    second = POET.replace("verse", "reasoning")
    text = edited(TINY, "\ncapabilities:\n", f"{second}\ncapabilities:\n")
    expected = {*of_teacher("poet", "reasoning"), *chain("reasoning"), "registry", "bundle"}
    assert folder.rebuilt(text) == expected


def test_a_teacher_s_weights(tmp_path: Path) -> None:
    """A model folder is a source of each target that opens it, and of no other."""
    folder = Folder(tmp_path, with_verse(TINY))
    sources = {target.id for target in folder.before if "model" in target.sources}
    assert sources == of_teacher("poet", "verse")
    rebuilt = folder.rebuilt(edited(with_verse(TINY), "path: models/poet", "path: models/bard"))
    assert rebuilt == of_teacher("poet", "verse") | chain("verse") | {"registry", "bundle"}


def test_a_trained_teacher_s_settings(folder: Folder) -> None:
    text = edited(TINY, "family: llama\n        hidden: 64", "family: llama\n        hidden: 128")
    expected = {"trained_teacher:scholar", *of_teacher("scholar", "reasoning")}
    assert folder.rebuilt(text) == expected | chain("reasoning") | {"registry", "bundle"}


def test_a_row_of_a_data_set(folder: Folder) -> None:
    text = edited(TINY, "functions, rows: 300", "functions, rows: 301")
    expected = {"dataset:functions", "trained_teacher:coder", *of_teacher("coder", "code")}
    assert folder.rebuilt(text) == expected | chain("code") | ROUTERS | {"registry", "bundle"}


def test_a_training_setting_of_a_capability(folder: Folder) -> None:
    text = edited(TINY, "metric: rouge_l\n", "metric: rouge_l\n    training: {steps: 50}\n")
    assert folder.rebuilt(text) == chain_from_adapter("code") | {"bundle"}
    assert changed(folder.before, folder.resolved(text)) == {"adapter:code"}


def test_a_training_setting_of_all(folder: Folder) -> None:
    text = edited(TINY, "rank: 8, steps: 40", "rank: 8, steps: 50")
    chains = set().union(*map(chain_from_adapter, CAPABILITIES))
    assert folder.rebuilt(text) == chains | {"bundle"}


def test_quantisation(folder: Folder) -> None:
    text = edited(TINY, "quantize: int8", "quantize: none")
    chains = set().union(*map(chain_from_adapter, CAPABILITIES))
    assert folder.rebuilt(text) == chains | ROUTERS | {"pack:backbone", "bundle"}


def test_what_ships(folder: Folder) -> None:
    text = edited(TINY, "include: [reasoning, tools, code]", "include: [reasoning, tools]")
    assert folder.rebuilt(text) == ROUTERS | {"bundle"}


def test_a_capability_removed(folder: Folder) -> None:
    """With its teacher, its data and its contract: what is left is not touched."""
    start = TINY.index("  - id: coder")
    text = TINY[:start] + TINY[TINY.index("\ncapabilities:\n") :]
    start = text.index("  code:\n    dataset")
    text = text[:start] + text[text.index("\ncontracts:\n") :]
    text = edited(text, "  code: {retain_fraction: 0.01}\n", "", ", code]", "]")
    assert folder.rebuilt(text) == ROUTERS | {"registry", "bundle"}
    # And back: nothing is new, as the lock still names it.
    assert changed(folder.before, folder.resolved(TINY)) == set()


def test_one_of_two_teachers_removed(tmp_path: Path) -> None:
    both = edited(TINY, "\ncapabilities:\n", f"{POET.replace('verse', 'code')}\ncapabilities:\n")
    folder = Folder(tmp_path, both)
    assert folder.rebuilt(TINY) == chain("code") | {"registry", "bundle"}


def test_seed(folder: Folder) -> None:
    after = folder.resolved(edited(TINY, "seed: 7", "seed: 8"))
    assert changed(folder.before, after) == set(after.targets)


def test_a_licence_belongs_to_the_teacher_alone(folder: Folder) -> None:
    text = edited(
        TINY, "allow: [MIT]", "allow: [MIT, Apache-2.0]", "licence: MIT", "licence: Apache-2.0"
    )
    assert changed(folder.before, folder.resolved(text)) == {"teacher:scholar"}


def test_precision_belongs_to_what_opens_the_teacher(folder: Folder) -> None:
    text = edited(TINY, "    licence: MIT\n", "    licence: MIT\n    load: bf16\n")
    after = folder.resolved(text)
    assert changed(folder.before, after) == of_teacher("scholar", "reasoning")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ram: 4GB", "ram: 8GB"),
        ("ram: 4GB", "ram: 4GB, vram: 24GB"),
        ("device: cpu", "device: cuda"),
        ("threads: 1", "threads: 2"),
        ("disk: 2GB", "disk: 2GB, max_temperature_c: 70"),
    ],
)
def test_hardware_makes_nothing_stale(folder: Folder, old: str, new: str) -> None:
    assert folder.rebuilt(edited(TINY, old, new)) == set()


def test_a_metric_is_the_capability_s(folder: Folder) -> None:
    after = folder.resolved(
        edited(TINY, "tool_calls\n    metric: bits_per_byte", "tool_calls\n    metric: exact_match")
    )
    assert changed(folder.before, after) == {
        "profile:operator/tools", "adapter:tools", "gate:tools", "bundle",
    }  # fmt: skip


def test_work_loads_by_name_what_its_settings_name(folder: Folder) -> None:
    """And no more: what is loaded is in the key, so an edit of a metric touches what it scores."""
    metrics, harness = "modalities.text.metrics", "modalities.text.harness"
    tools = "tool_calls\n    metric: bits_per_byte"
    task = "\n    harness: {tasks: [arc_easy]}"
    after = folder.resolved(
        edited(
            TINY,
            tools,
            tools + task,
            "tools: {retain_fraction: 0.01}",
            "tools: {retain_fraction: 0.01, metric: lm_eval/arc_easy}",
            "code: {retain_fraction: 0.01}",
            "code: {retain_fraction: 0.01, metric: unit_tests}",
        )
    )
    reads_text = {"reading": "modalities.text.reading"}
    by_likelihood = {"metric": f"{metrics}.bits_per_byte"}
    taught = ("scholar/reasoning", "operator/tools", "coder/code")
    assert {target.id: target.code for target in after if target.code} == {
        **{f"dataset:{name}": {"sampler": f"samplers.{name}"} for name in SAMPLED},
        **{
            f"trained_teacher:{name}": {
                "family": f"modalities.text.families.{family}",
                **reads_text,
            }
            for name, family in (("scholar", "llama"), ("operator", "gpt2"), ("coder", "qwen3"))
        },
        "backbone": {"family": "modalities.text.families.llama"},
        "profile:scholar/reasoning": by_likelihood | reads_text,
        "profile:operator/tools": by_likelihood | reads_text,
        "profile:coder/code": {"metric": f"{metrics}.rouge_l", **reads_text},
        "adapter:reasoning": by_likelihood | reads_text,
        "adapter:tools": by_likelihood | reads_text,
        "adapter:code": {"metric": f"{metrics}.rouge_l", **reads_text},
        **{f"{kind}:{one}": reads_text for kind in ("baseline", "trace") for one in taught},
        "baseline:operator/tools": {"harness": f"{harness}.answering", **reads_text},
        "score:tools": {"harness": f"{harness}.answering"},
        "gate:reasoning": by_likelihood,
        "gate:tools": {"harness": f"{harness}.metric"},
        "gate:code": {"metric": f"{metrics}.unit_tests"},
        "gate:router": {"metric": f"{metrics}.accuracy"},
    }


@pytest.mark.parametrize(("metric", "ranked_by"), [("rouge_l", "rouge_l"), ("bits_per_byte", None)])
def test_a_teacher_s_own_answers_are_ranked_by_what_is_said(
    folder: Folder, metric: str, ranked_by: str | None
) -> None:
    after = folder.resolved(
        edited(TINY, "metric: rouge_l", f"metric: {metric}\n    trace: {{answers: teacher}}")
    )
    trace = after["trace:coder/code"]
    assert trace.settings["metric"] == ranked_by
    named = {"metric": f"modalities.text.metrics.{ranked_by}"} if ranked_by else {}
    assert trace.code == {"reading": "modalities.text.reading", **named}


def test_the_name_is_the_bundle_s(folder: Folder) -> None:
    assert folder.rebuilt(edited(TINY, "name: tiny_bundle", "name: other")) == {"bundle"}


# The graph itself.


@pytest.mark.parametrize("file", ["nexus.yaml", "tests/tiny.yaml"])
def test_every_input_is_there_and_nothing_goes_in_circles(file: str) -> None:
    graph = resolve(ROOT / file, {})
    done: set[str] = set()
    while len(done) < len(graph.targets):
        ready = {
            target.id
            for target in graph
            if target.id not in done
            and all(input_target(reference) in done for reference in target.inputs.values())
        }
        assert ready, f"in circles, or not there: {sorted(set(graph.targets) - done)}"
        done |= ready


def test_the_kinds_of_the_sample() -> None:
    graph = resolve(ROOT / "nexus.yaml", {})
    kinds = {target.kind for target in graph}
    folders = {path.parent.name for path in (ROOT / "targets").glob("*/target.py")}
    assert folders - kinds == {"encoder"}  # the sample reads text alone
    assert kinds <= folders
    for target in graph:
        sampled = target.kind == "dataset" and target.settings["sample"] is not None
        module = "sampled" if sampled else "work"
        assert target.work.startswith(f"targets.{target.kind}.{module}:build")
    assert [target.id for target in graph if target.release] == ["bundle"]
    assert {target.id for target in graph if target.verdict} == GATES
    assert {target.id: target.pin for target in graph if target.pin} == {
        "tokenizer": "tokenizer",
        "architecture:backbone": "backbone",
        "backbone": "backbone",
        "pack:backbone": "backbone",
    }


def test_settings_are_json_with_an_origin_each() -> None:
    graph = resolve(ROOT / "nexus.yaml", {})

    def leaves(value: Any, path: str) -> list[str]:
        if isinstance(value, dict) and value:
            return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{path}.{key}")]
        return [path.removeprefix(".")]

    for target in graph:
        assert json.loads(json.dumps(target.settings)) == target.settings
        assert set(leaves(dict(target.settings), "")) <= set(target.origins), target.id


@pytest.mark.parametrize(
    ("target", "setting", "origin"),
    [
        ("gate:reasoning", "retain_fraction", "contracts.reasoning.retain_fraction"),
        ("gate:reasoning", "metric", "capabilities.reasoning.metric"),
        ("gate:router", "at_least", "contracts.router.at_least"),
        ("teacher:scholar", "licence", "teachers.scholar.licence"),
        ("trained_teacher:scholar", "hidden", "teachers.scholar.source.train.hidden"),
        (
            "trained_teacher:scholar",
            "tokenizer.vocab",
            "teachers.scholar.source.train.tokenizer.vocab",
        ),
        ("adapter:reasoning", "steps", "capabilities.reasoning.training.steps"),
        ("adapter:reasoning", "batch", "student.training.batch"),
        ("architecture:reasoning", "rank", "student.training.rank"),
        ("bundle", "contracts.reasoning.retain_fraction", "contracts.reasoning.retain_fraction"),
        ("bundle", "contracts.reasoning.metric", "capabilities.reasoning.metric"),
        ("pack:backbone", "quantize", "bundle.quantize"),
        ("dataset:functions", "rows", "datasets.functions.rows"),
        ("profile:coder/code", "samples", "capabilities.code.profile.samples"),
    ],
)  # fmt: skip
def test_origins(target: str, setting: str, origin: str) -> None:
    assert resolve(ROOT / "nexus.yaml", {})[target].origins[setting] == origin


def test_thresholds_stand_in_gate_and_bundle_alone() -> None:
    graph = resolve(ROOT / "nexus.yaml", {})
    named = {
        target.id
        for target in graph
        for name in ("retain_fraction", "at_least")
        if f'"{name}"' in json.dumps(target.settings)
    }
    assert named == {*GATES, "bundle"}


def test_a_capability_without_a_contract_has_the_usual_one(folder: Folder) -> None:
    graph = folder.resolved(edited(TINY, "  code: {retain_fraction: 0.01}\n", ""))
    assert graph["gate:code"].settings["retain_fraction"] == 0.97


def test_data_files(folder: Folder, tmp_path: Path) -> None:
    def sources(written: str) -> dict[str, str]:
        text = edited(TINY, "{sample: functions,", f"{{path: {written}, licence: MIT,")
        graph = folder.resolved(text)
        return {role: source.path for role, source in graph["dataset:functions"].sources.items()}

    (tmp_path / "data [1]").mkdir()
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / "data [1]" / name).touch()
    assert sources("data/x.jsonl") == {"data": "data/x.jsonl"}
    assert sources('"data [[]1]/*.jsonl"') == {
        "data0": "data [1]/a.jsonl",
        "data1": "data [1]/b.jsonl",
    }
    assert sources('"none/*.jsonl"') == {"data0": "none/*.jsonl"}
    remedy = folder.resolved(folder.spec.read_text())["dataset:functions"].sources["data0"].remedy
    assert remedy == "put the data there, or correct datasets.functions.path"


def test_answers_are_needed_unless_all_learn_the_teachers_own(folder: Folder) -> None:
    def settings(text: str) -> Mapping[str, Any]:
        return folder.resolved(text).targets["dataset:poems"].settings

    own = edited(
        with_verse(TINY), "metric: rouge_l}", "metric: rouge_l, trace: {answers: teacher}}"
    )
    assert settings(with_verse(TINY))["response"] == "response"
    assert settings(own)["answer_required"] is False and settings(own)["response"] is None
    also_read = edited(own, "  verse:", "  poetry: {dataset: poems, metric: rouge_l}\n  verse:")
    assert settings(also_read)["response"] == "response"
    source = "train: {family: llama, hidden: 32, layers: 1, heads: 2, steps: 5}"
    trained_on = edited(own, "path: models/poet", source)
    assert settings(trained_on)["response"] == "response"


def test_a_hub_s_teacher(folder: Folder) -> None:
    hub = "{hub: Qwen/Qwen3-8B, revision: abcdef0123}\n    parameters: 8B"
    graph = folder.resolved(edited(with_verse(TINY), "{path: models/poet}", hub))
    target = graph["trace:poet/verse"]
    assert target.settings["hub"] == {"repo": "Qwen/Qwen3-8B", "revision": "abcdef0123"}
    assert target.origins["hub.revision"] == "teachers.poet.source.revision"
    assert target.sources == {}


def test_an_open_model_to_start_from(folder: Folder) -> None:
    graph = folder.resolved(edited(TINY, "backbone: {", "backbone: {init: {path: models/tiny}, "))
    for target in ("architecture:backbone", "backbone"):
        assert graph[target].settings["init"] == "path"
        assert graph[target].sources["init"].path == "models/tiny"
    compared = {role for role in graph["backbone"].inputs if role.startswith("tensors/")}
    assert compared == {f"tensors/{name}" for name in ("scholar", "operator", "coder")}


def test_a_bundle_is_compared_with_every_teacher_there_is(folder: Folder) -> None:
    fewer = edited(TINY, "include: [reasoning, tools, code]", "include: [reasoning, tools]")
    inputs = folder.resolved(fewer)["bundle"].inputs
    assert {inputs[f"teacher/{name}"] for name in ("scholar", "operator")} == {
        "teacher:scholar",
        "teacher:operator",
    }
    assert inputs["tensors/coder"] == "teacher:coder"
    assert "teacher/coder" not in inputs


def test_what_a_model_to_start_from_needs_follows_from_its_files(folder: Folder) -> None:
    text = edited(TINY, "backbone: {", "backbone: {init: {path: models/tiny}, ")
    place = folder.spec.parent / "models" / "tiny"
    place.mkdir(parents=True)
    needed = {}
    for parameters in (100_000, 600_000_000):
        with (place / "model.safetensors").open("wb") as file:
            file.truncate(2 * parameters)  # bfloat16
        graph = folder.resolved(text)
        needed[parameters] = graph
    small, large = needed.values()
    for name in ("backbone", "adapter:code", "score:code"):
        assert small[name].settings == large[name].settings
        assert small[name].needs.ram_bytes <= 2**30
    # Weights in float32, once to score, and with gradients and momentum to train.
    assert large["score:code"].needs.ram_bytes > 4 * 600e6
    assert large["backbone"].needs.ram_bytes > 4 * 4 * 600e6
    assert large["backbone"].needs.disk_bytes >= 4 * 600e6
    assert small["backbone"].needs.disk_bytes < 1e9
    assert (large["backbone"].expected_seconds or 0) > 100 * (
        small["backbone"].expected_seconds or 1
    )


def test_the_backbone_does_not_start_from_a_teacher(folder: Folder) -> None:
    models = folder.spec.parent / "models"
    (models / "poet").mkdir(parents=True)
    (models / "link").symlink_to("poet")
    for path in ("models/poet", "models/../models/poet/", "models/link"):
        text = edited(with_verse(TINY), "backbone: {", f"backbone: {{init: {{path: {path}}}, ")
        with pytest.raises(ResolveError) as caught:
            folder.resolved(text)
        [problem] = caught.value.problems
        assert 'is the teacher "poet": its weights would ship' in problem.message
        assert problem.field.startswith("student.backbone.init")


def test_large_teachers_need_a_large_machine(folder: Folder) -> None:
    large = edited(
        with_verse(TINY),
        "    source: {path: models/poet}\n",
        "    source: {path: models/poet}\n    parameters: 8B\n    load: nf4\n",
        "device: cpu",
        "device: auto",
    )
    needs = folder.resolved(large)["trace:poet/verse"].needs
    assert needs.gpu
    assert needs.exclusive
    assert 5 < needs.vram_bytes / 2**30 < 9
    small = folder.before["trace:scholar/reasoning"].needs
    assert (small.gpu, small.exclusive) == (False, False)
    assert 2 * small.ram_bytes <= (folder.before.ram_bytes or 0)


def test_a_teacher_of_unknown_size_is_opened_with_nothing_beside_it(folder: Folder) -> None:
    """Such as a folder that is still to be filled."""
    graph = folder.resolved(with_verse(TINY))
    opened = [target for target in graph if target.name.startswith("poet")]
    assert {target.kind for target in opened} == {"teacher", "baseline", "profile", "trace"}
    assert all(target.needs.exclusive for target in opened)


def test_one_teacher_is_in_memory_at_a_time(folder: Folder) -> None:
    pools = {target.kind: target.needs.pool for target in folder.resolved(with_verse(TINY))}
    together = {kind for kind, pool in pools.items() if pool == "teachers"}
    assert together == {"teacher", "baseline", "profile", "trace"}


# The lock.


def test_the_lock_s_values_resolve_to_the_same(folder: Folder) -> None:
    assert folder.lock == {
        "tokenizer": {"datasets": ["functions", "tool_calls", "word_problems"]},
        "backbone": {
            "capabilities": {"code": ["coder"], "reasoning": ["scholar"], "tools": ["operator"]}
        },
    }
    assert folder.resolved(TINY) == folder.before


def test_upgrading_takes_in_what_came_later(folder: Folder) -> None:
    pinned = {"tokenizer": folder.lock["tokenizer"]}
    graph = folder.resolved(with_verse(TINY), pinned)
    assert "trace/poet/verse" in graph["backbone"].inputs
    assert "dataset/poems" not in graph["tokenizer"].inputs
    assert graph.lock_values["backbone"]["capabilities"]["verse"] == ["poet"]


@pytest.mark.parametrize(
    "values",
    [
        {"tokenizer": {"datasets": "functions"}},
        {"tokenizer": []},
        {"backbone": {"capabilities": ["code"]}},
        {"backbone": {"capabilities": {"code": "coder"}}},
        {"backbone": {}},
    ],
)
def test_a_lock_that_was_tampered_with(folder: Folder, values: dict[str, Any]) -> None:
    with pytest.raises(ResolveError, match=r"nexus\.lock: values\.\w+\.\w+: is not a list"):
        folder.resolved(TINY, values)


# Isolation.


def isolated_verse() -> str:
    return edited(with_verse(TINY), "metric: rouge_l", "metric: rouge_l, isolated: true")


def test_an_isolated_capability_touches_nothing(folder: Folder) -> None:
    expected = {"dataset:poems", *of_teacher("poet", "verse"), *chain("verse")}
    assert folder.rebuilt(isolated_verse()) == expected | {"registry", "bundle"}
    graph = folder.resolved(isolated_verse(), {})
    assert graph.lock_values == folder.lock
    for target in ("tokenizer", "backbone", "architecture:backbone", *ROUTERS):
        assert graph[target] == folder.before[target]
    assert graph["bundle"].settings["isolated"] == ["verse"]


def test_isolating_what_was_pinned_is_an_error_that_names_the_path(folder: Folder) -> None:
    pinned = folder.resolved(with_verse(TINY), {}).lock_values
    with pytest.raises(ResolveError) as raised:
        folder.resolved(isolated_verse(), pinned)
    messages = [problem.message for problem in raised.value.problems]
    assert messages == [
        '"verse" is isolated, but tokenizer would be made from it: dataset:poems -> tokenizer',
        '"verse" is isolated, but architecture:backbone would be made from it: '
        "profile:poet/verse -> architecture:backbone",
        '"verse" is isolated, but backbone would be made from it: trace:poet/verse -> backbone',
    ]
    # One of them alone would leave the spec refused.
    both = "`nexusbuild lock --upgrade tokenizer --upgrade backbone` makes it again without it"
    assert all(both in problem.remedy for problem in raised.value.problems)
    assert raised.value.problems[0].field == "capabilities.verse.isolated"
    # The remedy helps.
    folder.resolved(isolated_verse(), {})


def test_an_isolated_file_by_another_path(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "poems.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to("poems.jsonl")
    for path in ("./poems.jsonl", "*.jsonl", "link.jsonl", "."):
        text = edited(isolated_verse(), "{sample: functions,", f'{{path: "{path}", licence: MIT,')
        with pytest.raises(
            ResolveError, match=r"datasets\.functions\.path: dataset:functions reads"
        ):
            folder.resolved(text)


def test_sharing_an_isolated_data_set_names_both(folder: Folder) -> None:
    text = edited(isolated_verse(), "dataset: functions", "dataset: poems")
    with pytest.raises(ResolveError, match='"poems" is also the data set of "verse"') as raised:
        folder.resolved(text)
    assert raised.value.problems[0].field == "capabilities.code.dataset"


# Errors, and what resolving costs.


def test_problems_of_the_spec_are_the_engine_s(folder: Folder) -> None:
    text = edited(TINY, "seed: 7", "sed: 7", "family: llama", "family: lama")
    with pytest.raises(ResolveError) as raised:
        folder.resolved(text)
    problems = raised.value.problems
    assert [(problem.line, problem.field) for problem in problems] == [
        (7, "sed"),
        (20, "teachers.scholar.source.train.family"),
    ]
    assert "did you mean seed?" in problems[0].remedy
    assert "^^^" in problems[0].remedy


def test_resolving_loads_no_model_library() -> None:
    code = (
        "import sys; from pathlib import Path; from targets.resolver import resolve;"
        f"resolve(Path({str(ROOT / 'nexus.yaml')!r}), {{}});"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'sklearn', 'doit', 'rich'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("target", [target.id for target in resolve(ROOT / "nexus.yaml", {})])
def test_work_reads_its_settings(target: str) -> None:
    """What a kind's own settings want is what its declaration gives."""
    import importlib

    graph = resolve(ROOT / "nexus.yaml", {})
    kind = graph[target].kind
    try:
        module = importlib.import_module(f"targets.{kind}.settings")
    except ModuleNotFoundError:
        pytest.skip(f"{kind} has no settings of its own")
    names = {
        "architecture": "BackboneSettings" if target.endswith(":backbone") else "AdapterSettings"
    }
    settings = getattr(module, names.get(kind, "Settings"), None)
    if settings is None:
        pytest.skip(f"{kind} reads its settings in another way")
    if kind == "pack" and target != "pack:backbone":
        pytest.skip("only the backbone is quantised")
    settings.from_json(graph[target].settings)


def test_only_four_kinds_open_a_teacher(folder: Folder) -> None:
    opening = {
        target.kind
        for target in folder.resolved(with_verse(TINY))
        if "model" in target.sources
        or any(reference.startswith("trained_teacher:") for reference in target.inputs.values())
    }
    assert opening == {"teacher", "baseline", "profile", "trace"}


@pytest.mark.parametrize(("hidden", "heads"), [(64, 2), (192, 6), (100, 2), (20, 1)])
def test_a_made_teacher_has_the_usual_heads_unless_said(
    tmp_path: Path, hidden: int, heads: int
) -> None:
    shape = "hidden: 64\n        layers: 2\n        heads: 4\n"
    text = edited(TINY, shape, f"hidden: {hidden}\n        layers: 2\n")
    settings = Folder(tmp_path, text).before["trained_teacher:scholar"].settings
    assert settings["heads"] == heads
