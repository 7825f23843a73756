"""What is rebuilt after which edit, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from toy_project import Toy, states

EVERYTHING = {"data:words", "step:a", "step:b", "other", "gate:b", "release"}


def test_first_build_then_nothing(chain: Toy) -> None:
    assert states(chain.plan(), "stale") == EVERYTHING
    assert not (chain.folder / ".nexus").exists(), "a dry run writes nothing"
    assert not (chain.folder / "toy" / "__pycache__" / "works.pyc").exists()
    assert chain.built() == EVERYTHING
    assert set(chain.build().values()) == {"fresh"}
    assert set(chain.plan().values()) == {"fresh"}


Edit = Callable[[Toy], object]
EDITS: dict[str, tuple[Edit, set[str]]] = {
    "key order and white space": (
        lambda toy: (
            toy.write("nexus.yaml", json.dumps(dict(reversed(toy.spec.items())), sort_keys=True))
            and None
        ),
        set(),
    ),
    "a comment in code": (
        lambda toy: toy.edit("toy/words.py", "def joined", "# a remark\n\n\ndef joined"),
        set(),
    ),
    "a docstring in code": (
        lambda toy: toy.edit("toy/works.py", "Writes no file at all.", "Writes nothing."),
        set(),
    ),
    "a type-only import": (
        lambda toy: toy.edit("toy/works.py", "import Job\n", "import Graph, Job\n"),
        set(),
    ),
    "a module that no work imports": (
        lambda toy: toy.write("toy/more.py", "x = 1\n"),
        set(),
    ),
    "a threshold": (lambda toy: toy.settings("gate:b", at_least=6), {"gate:b", "release"}),
    "a nested setting": (
        lambda toy: toy.settings("step:a", train={"steps": 4, "fast": True}),
        {"step:a", "step:b", "gate:b", "release"},
    ),
    "a source's content": (
        lambda toy: toy.write("words.txt", "other words"),
        {"data:words", "step:a", "step:b", "release", "gate:b"},
    ),
    "one output file of two": (
        lambda toy: toy.settings("data:words", fixed="y"),
        {"data:words", "other", "step:a", "step:b", "release", "gate:b"},
    ),
    "the seed": (lambda toy: (toy.spec.update(seed=9), toy.save()), EVERYTHING),
    "code that everything reaches": (
        lambda toy: toy.edit("toy/words.py", '"\\n".join', '" ".join'),
        EVERYTHING,
    ),
    "an input added": (
        lambda toy: ((toy.spec["targets"]["other"]["inputs"].update(b="step:b"), toy.save())),
        {"other"},
    ),
    "a target removed": (
        lambda toy: (toy.spec["targets"].pop("release"), toy.save()),
        set(),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_rebuilds_exactly(built: Toy, name: str) -> None:
    edit, expected = EDITS[name]
    spec = json.loads(json.dumps(built.spec))
    files = [built.folder / "words.txt", *(built.folder / "toy").glob("*.py")]
    before = {path: path.read_bytes() for path in files}
    edit(built)
    predicted = built.plan()
    rebuilt = built.built()
    assert rebuilt == expected
    assert states(predicted, "stale") <= rebuilt <= states(predicted, "stale", "maybe")
    assert set(built.plan().values()) == {"fresh"}
    # Undone, nothing is built.
    for path, content in before.items():
        path.write_bytes(content)
    built.spec = spec
    built.save()
    assert states(built.plan(), "stale", "maybe", "blocked") == set()
    assert built.built() == set()
    assert set(built.plan().values()) == {"fresh"}


def test_early_cutoff(toy: Toy) -> None:
    toy.write("words.txt", "some words")
    toy.target("leaf", sources={"words": "words.txt"})
    toy.target("cut", work="toy.works:first_letters", inputs={"leaf": "leaf#out.txt"})
    toy.target("top", inputs={"cut": "cut"})
    toy.target("aside", inputs={"fixed": "leaf#fixed.txt"})
    assert toy.built() == {"leaf", "cut", "top", "aside"}
    toy.write("words.txt", "some other words")
    assert toy.plan() == {"leaf": "stale", "cut": "maybe", "top": "maybe", "aside": "maybe"}
    assert toy.build() == {"leaf": "built", "cut": "built", "top": "fresh", "aside": "fresh"}


def test_reasons_name_the_field_and_both_values(built: Toy) -> None:
    built.settings("gate:b", at_least=6)
    built.settings("step:a", train={"steps": 4, "fast": True})
    assert built.reasons("gate:b") == [
        {"code": "setting-changed", "path": "targets.gate:b.at_least", "old": 5, "new": 6},
        {"code": "input-rebuilt", "input": "step:b"},
    ]
    assert built.reasons("step:a") == [
        {"code": "setting-changed", "path": "targets.step:a.train.steps", "old": 3, "new": 4}
    ]
    assert built.reasons("step:b") == [{"code": "input-rebuilt", "input": "step:a"}]
    text = built.run("--dry-run").stdout
    assert "targets.gate:b.at_least: 5 -> 6" in text


def test_reasons_name_source_module_and_inputs(built: Toy) -> None:
    built.write("words.txt", "more")
    built.edit("toy/words.py", '"\\n".join', '" ".join')
    built.spec["targets"]["other"]["inputs"] = {"b": "step:b"}
    built.save()
    (source, code) = built.reasons("data:words")
    assert source["code"] == "source-changed"
    assert source["path"].endswith("words.txt")
    assert (code["code"], code["path"]) == ("code-changed", "toy.words")
    codes = {(reason["code"], reason.get("input")) for reason in built.reasons("other")[1:]}
    assert codes == {("input-added", "step:b"), ("input-removed", "data:words")}


def test_selectors_build_only_what_is_needed(chain: Toy) -> None:
    assert chain.built("step:a") == {"data:words", "step:a"}
    assert chain.built("+gate:*") == {"step:b", "gate:b"}
    assert chain.plan("data:words+")["release"] == "stale"
    done = chain.run("stepp:a")
    assert done.returncode == 2
    assert "step:a" in done.stderr


def test_force_rebuilds_and_cutoff_stops_there(built: Toy) -> None:
    assert built.plan("--force", "step:a")["step:a"] == "stale"
    assert built.built("--force", "step:a") == {"step:a"}


def test_a_failing_contract_leaves_the_release(built: Toy) -> None:
    released = (built.folder / "dist/product/deep/all.txt").read_text()
    built.settings("gate:b", at_least=1000)
    document = built.json()
    assert document["exit_code"] == 3
    found = {each["id"]: each["state"] for each in document["targets"]}
    assert found["gate:b"] == "built"
    assert found["release"] == "skipped"
    assert (built.folder / "dist/product/deep/all.txt").read_text() == released
    assert (built.folder / "build/candidate/product/deep/all.txt").exists()
    done = built.run()
    assert done.returncode == 3
    assert "characters of 1000" in done.stdout
    built.settings("gate:b", at_least=5)
    assert set(built.build().values()) <= {"fresh", "cached"}


def test_dist_is_put_back_and_follows_the_history(built: Toy) -> None:
    shutil.rmtree(built.folder / "dist")
    assert any("dist" in note for note in built.json("-n")["notes"])
    assert set(built.build().values()) == {"fresh"}
    text = (built.folder / "dist/product/deep/all.txt").read_text()
    assert (built.folder / "dist/product.txt").exists()
    assert not (built.folder / "dist/product").is_symlink()
    built.write("words.txt", "longer words than before")
    built.build()
    assert (built.folder / "dist/product/deep/all.txt").read_text() != text
    built.write("words.txt", "some words")
    assert "built" not in built.build().values()
    assert (built.folder / "dist/product/deep/all.txt").read_text() == text


@pytest.mark.parametrize("harm", ["byte", "added", "removed", "link"])
def test_dist_is_put_back_whatever_was_done_to_it(built: Toy, harm: str) -> None:
    folder = built.folder / "dist/product"
    file = folder / "deep/all.txt"
    text = file.read_text()
    (built.folder / "dist/mine.txt").write_text("not the builder's")
    built.build()
    if harm == "byte":
        file.write_text("X" + text[1:])
    elif harm == "added":
        (folder / "deep/.more").write_text("")
    elif harm == "removed":
        file.unlink()
    else:
        file.rename(built.folder / "elsewhere.txt")
        file.symlink_to(built.folder / "elsewhere.txt")
    assert any("dist does not hold release" in note for note in built.json("-n")["notes"])
    assert set(built.build().values()) == {"fresh"}
    assert file.read_text() == text
    assert not file.is_symlink()
    assert not (folder / "deep/.more").exists()
    assert (built.folder / "dist/mine.txt").exists()
    inode = file.stat().st_ino
    built.build()
    assert built.json("-n")["notes"] == []
    assert file.stat().st_ino == inode


def test_dist_missing_and_its_files_gone_from_the_store(built: Toy) -> None:
    shutil.rmtree(built.folder / "dist")
    beside = (built.folder / "build/release/product.txt").resolve()
    beside.unlink()
    assert built.plan()["release"] == "stale"
    assert built.built() == {"release"}
    assert (built.folder / "dist/product.txt").read_text() == "beside"


def test_a_missing_source_keeps_its_results(built: Toy) -> None:
    (built.folder / "words.txt").unlink()
    document = built.json("-n")
    assert document["summary"]["fresh"] == len(EVERYTHING)
    assert any("words.txt" in note for note in document["notes"])
    built.settings("gate:b", at_least=6)
    assert built.built() == {"gate:b", "release"}
    built.settings("data:words", fixed="y")
    plan = built.plan()
    assert plan["data:words"] == plan["step:a"] == plan["release"] == "blocked"
    assert built.reasons("data:words")[-1]["code"] == "source-missing"
    done = built.run()
    assert done.returncode == 2
    assert "put words.txt back" in done.stderr
    built.settings("data:words", fixed="x")
    assert set(built.build().values()) <= {"fresh", "cached"}


def test_a_missing_object_is_rebuilt_only_when_needed(built: Toy) -> None:
    (built.folder / "build/step/a/out.txt").resolve().unlink()
    assert set(built.plan().values()) == {"fresh"}
    assert set(built.build().values()) == {"fresh"}
    built.settings("gate:b", at_least=6)
    assert "step:a" in states(built.plan(), "fresh")
    assert built.built() == {"gate:b", "release"}
    built.settings("step:b", fixed="now")
    plan = built.plan()
    assert plan["step:a"] == "stale"
    assert plan["data:words"] == "fresh"
    assert built.built() == {"step:a", "step:b", "release"}


def test_a_source_found_wrong_while_building(toy: Toy) -> None:
    toy.target("data", work="toy.works:refuse")
    done = toy.run()
    assert done.returncode == 2
    assert "data: row 7 is no row" in done.stderr
    toy.target("bad", work="toy.works:fail")
    assert toy.json("--keep-going")["exit_code"] == 2
    assert toy.json("bad")["exit_code"] == 1


def test_failures_stop_or_go_on(toy: Toy) -> None:
    toy.target("bad", work="toy.works:fail")
    toy.target("after", inputs={"bad": "bad"})
    toy.target("good")
    toy.target("better", inputs={"good": "good"})
    document = toy.json("--keep-going")
    assert document["exit_code"] == 1
    found = {each["id"]: each for each in document["targets"]}
    assert {name: each["state"] for name, each in found.items()} == {
        "bad": "failed",
        "after": "skipped",
        "good": "built",
        "better": "built",
    }
    assert "no luck with bad" in found["bad"]["error"]["message"]
    assert "Traceback" in (toy.folder / "build/logs/bad.log").read_text()
    done = toy.run()
    assert done.returncode == 1
    assert "no luck with bad" in done.stderr


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("nothing", "wrote no file"),
        ("link_out", "not a plain file"),
        ("spoil_input", "wrote to its input"),
        ("kill_itself", "killed"),
        ("no_such", "no_such"),
    ],
)
def test_work_that_misbehaves_is_named(toy: Toy, work: str, said: str) -> None:
    toy.target("good")
    toy.target("bad", work=f"toy.works:{work}", inputs={"good": "good"})
    done = toy.run()
    assert done.returncode == 1
    assert said in done.stderr
    # What it may have spoilt is made again.
    toy.target("bad", inputs={"good": "good"})
    toy.build()
    assert toy.text("good").startswith('{"seed"')


def test_inputs_and_sources_reach_the_work(toy: Toy) -> None:
    toy.write("tree/one.txt", "1")
    toy.write("tree/below/two.txt", "2")
    toy.target("a", sources={"tree": "tree"})
    toy.target("b", inputs={"x/y": "a#out.txt", "x": "a"})
    toy.build()
    assert toy.text("a").endswith("1\n2") or toy.text("a").endswith("2\n1")
    toy.write("tree/.hidden", "no part of it")
    assert toy.built() == set()
    toy.write("tree/below/three.txt", "3")
    assert toy.built() == {"a", "b"}


def test_an_input_file_that_is_not_made(toy: Toy) -> None:
    toy.target("a")
    toy.target("b", inputs={"a": "a#missing.txt"})
    done = toy.run()
    assert done.returncode == 1
    assert "a#missing.txt" in done.stderr
    assert "fixed.txt, out.txt" in done.stderr


def test_graphs_that_cannot_be(toy: Toy) -> None:
    toy.target("a", inputs={"b": "b"})
    toy.target("b", inputs={"a": "a"})
    assert "a -> b -> a" in toy.run("-n").stderr
    toy.target("b", inputs={"c": "d"})
    done = toy.run("-n")
    assert done.returncode == 2
    assert "not a target" in done.stderr
    toy.spec["targets"] = {"a": {"work": "toy.nowhere:join"}}
    toy.save()
    assert "toy.nowhere:join" in toy.run("-n").stderr
    toy.write("nexus.yaml", "{")
    document = toy.json("-n")
    assert document["errors"][0]["file"] == "nexus.yaml"


def test_needs_that_cannot_fit_are_refused_before_anything_runs(toy: Toy) -> None:
    toy.target("small")
    toy.target("big", needs={"ram_bytes": 1 << 60})
    done = toy.run()
    assert done.returncode == 2
    assert "big" in done.stderr
    assert not (toy.folder / "build/small").exists()


def test_any_id_will_do(toy: Toy) -> None:
    names = {"kind:a=b", "kind:*", "kind:100%", "_private", "kind:a b/c"}
    for name in sorted(names):
        toy.target(name)
    toy.target("all", inputs={str(place): name for place, name in enumerate(sorted(names))})
    assert toy.built() == {*names, "all"}
    assert set(toy.plan().values()) == {"fresh"}
