"""--plan: what was planned is done exactly so, or refused with what has moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from toy_project import Toy

PLAN = ("--plan", "plan.json")


def test_what_was_planned_is_done(built: Toy) -> None:
    built.settings("step:b", x=1)
    planned = built.json("-n", *PLAN)
    assert json.loads((built.folder / "plan.json").read_text()).items() >= planned.items()
    assert built.built(*PLAN) == {"step:b", "gate:b", "release"}
    assert "step:b: was stale, is fresh" in _said(built)


def test_a_plan_holds_what_was_asked_for(built: Toy) -> None:
    built.settings("step:b", x=1)
    built.settings("gate:b", at_least=6)
    assert built.run("step:b", "--force", "other", "-n", *PLAN).returncode == 0
    assert built.built(*PLAN) == {"step:b", "other"}


def test_a_plan_of_nothing_does_nothing(built: Toy) -> None:
    assert built.run("-n", *PLAN).returncode == 0
    assert set(built.build(*PLAN).values()) == {"fresh"}


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda toy: toy.settings("step:b", x=2), "step:b: targets.step:b.x: 1 -> 2"),
        (lambda toy: toy.write("words.txt", "others"), "data:words: words.txt changed"),
        (lambda toy: toy.edit("toy/words.py", '"\\n"', '"\\r"'), "code: toy.words changed"),
        (
            lambda toy: (toy.target("more"), toy.target("other", inputs={"fixed": "more"})),
            "more is new to it",
        ),
        (lambda toy: toy.target("other"), "other: data:words is no longer an input"),
        (lambda toy: toy.spec["targets"].pop("other") and toy.save(), "other is no longer part"),
        (
            lambda toy: toy.target("other", inputs={"fixed": "data:words#out.txt"}),
            "other: reads data:words#out.txt instead of data:words#fixed.txt",
        ),
        (lambda toy: (toy.folder / "words.txt").unlink(), "data:words: was stale, is blocked"),
    ],
)
def test_a_world_that_moved_on_is_refused(
    built: Toy, move: Callable[[Toy], Any], said: str
) -> None:
    built.settings("step:b", x=1)
    forced = ("--force", "data:words") if "blocked" in said else ()
    assert built.run("-n", *forced, *PLAN).returncode == 0
    move(built)
    assert said in _said(built)
    document = built.json(*PLAN)
    assert document["exit_code"] == 2
    assert built.plan()["release"] != "fresh", "nothing was built"


def test_what_another_build_made_meanwhile_counts(built: Toy) -> None:
    """An input that was to be rebuilt is there now, and it is another than the planned one."""
    built.write("words.txt", "others")
    assert built.run("step:b", "-n", *PLAN).returncode == 0
    assert built.built("data:words") == {"data:words"}
    said = _said(built)
    assert "data:words: was stale, is fresh" in said
    assert "step:a: data:words is another" in said


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nexus_plan": 9}', '{"nexus_plan": 1}'])
def test_what_is_no_plan_is_named(built: Toy, text: str) -> None:
    built.write("plan.json", text)
    assert "plan.json: not a plan that this version can read" in _said(built)


def test_a_plan_says_itself_what_is_built(built: Toy) -> None:
    assert "check its permissions" not in _said(built, "gate:b")
    assert "the plan file already says what is built" in _said(built, "gate:b")
    assert "plan.json: cannot be read: No such file" in _said(built)
    unwritable = built.run("-n", "--plan", "nowhere/plan.json")
    assert unwritable.returncode == 2
    assert "nowhere/plan.json: cannot be written: No such file" in unwritable.stderr


def _said(toy: Toy, *arguments: str) -> str:
    done = toy.run(*arguments, *PLAN)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr
