"""Selectors mean the same in every command that takes TARGET."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from toy_project import Toy

from nexusbuild.errors import BuildError
from nexusbuild.plugins import Graph, Target
from nexusbuild.rule.selectors import select_targets

CASES = [
    (["step:a"], {"step:a"}),
    (["step"], {"step:a", "step:b"}),
    (["*:b"], {"step:b", "gate:b"}),
    (["st*[a]"], {"step:a"}),
    (["+step:b"], {"data:words", "step:a", "step:b"}),
    (["step:b+"], {"step:b", "gate:b", "release"}),
    (["+gate+"], {"data:words", "step:a", "step:b", "gate:b", "release"}),
    (["+*:a", "other"], {"data:words", "step:a", "other"}),
    (["data", "gate:b+"], {"data:words", "gate:b", "release"}),
]


def _graph(toy: Toy, *selectors: str) -> set[str]:
    return {each["id"] for each in toy.json("graph", *selectors)["targets"]}


def _ls(toy: Toy, *selectors: str) -> set[str]:
    return {each["id"] for each in toy.json("ls", *selectors)["targets"]}


def _why(toy: Toy, *selectors: str) -> set[str]:
    return {each["id"] for each in toy.json("why", *selectors)["targets"]}


def _forced(toy: Toy, *selectors: str) -> set[str]:
    options = [word for each in selectors for word in ("--force", each)]
    reasons = {
        each["id"]: [reason["code"] for reason in each["reasons"]]
        for each in toy.json("-n", *options)["targets"]
    }
    return {target for target, codes in reasons.items() if codes == ["forced"]}


def _exported(toy: Toy, *selectors: str) -> set[str]:
    return set(toy.json("store", "export", *selectors, "export.tar")["targets"])


@pytest.mark.parametrize("command", [_graph, _ls, _why, _forced, _exported])
@pytest.mark.parametrize(("selectors", "meant"), [CASES[5], CASES[7], CASES[8]])
def test_every_command_understands_them(
    built: Toy, command: Callable[..., set[str]], selectors: list[str], meant: set[str]
) -> None:
    assert command(built, *selectors) == meant


@pytest.mark.parametrize(("selectors", "meant"), CASES)
def test_what_they_mean(selectors: list[str], meant: set[str]) -> None:
    edges = {
        "data:words": [],
        "step:a": ["data:words"],
        "step:b": ["step:a"],
        "other": ["data:words#fixed.txt"],
        "gate:b": ["step:b#out.txt"],
        "release": ["step:b", "gate:b"],
    }
    graph = Graph(
        {name: Target(name, "w", {}, inputs={each: each for each in edges[name]}) for name in edges}
    )
    found = select_targets(graph, selectors)
    assert set(found) == meant
    assert found == [name for name in edges if name in meant], "in the graph's order"
    assert select_targets(graph, []) == list(edges)
    with pytest.raises(BuildError, match="no target matches 'stepp'"):
        select_targets(graph, [*selectors, "stepp"])


def test_a_build_looks_at_what_is_selected_and_what_that_needs(built: Toy) -> None:
    built.write("words.txt", "others")
    assert built.built("step:a", "other") == {"data:words", "step:a"}
    assert built.built("gate:b+") == {"step:b", "gate:b", "release"}


def test_accept_takes_several(built: Toy) -> None:
    built.edit("toy/words.py", '"\\n"', '"\\r"')
    accepted = built.json("accept", "step:b+", "data", "--why", "harmless")["accepted"]
    # What `judge` and `release` do reaches the same module.
    assert set(accepted) == {"step:b", "gate:b", "release", "data:words"}
    assert built.plan() == {
        "data:words": "fresh",
        "step:a": "stale",
        "step:b": "maybe",
        "other": "stale",
        "gate:b": "maybe",
        "release": "maybe",
    }
