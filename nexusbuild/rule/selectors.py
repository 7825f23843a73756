"""Selectors: which targets a person means.

An id, a kind, or a glob over ids; `+` before it adds all that it needs, `+` after it all that
needs it. Several are joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from nexusbuild import errors
from nexusbuild.rule.graph import Graph, input_target


def select_targets(
    graph: Graph, selectors: Sequence[str], commands: Collection[str] = ()
) -> list[str]:
    """Ids that the selectors mean, in the graph's order; all, where there are none.

    commands: what a word here could have been meant as, where it could have been one.
    """
    if not selectors:
        return list(graph.targets)
    chosen: set[str] = set()
    for selector in selectors:
        named = _match_name(graph, selector.strip("+"))
        if not named:
            known = [*graph.targets, *(target.kind for target in graph)]
            if commands and selector.isidentifier() and selector not in commands:
                raise errors.neither_command_nor_target(selector, commands, known)
            raise errors.no_such_target(selector, known)
        chosen |= named
        if selector.startswith("+"):
            chosen |= reachable(named, needs(graph))
        if selector.endswith("+"):
            chosen |= reachable(named, needed_by(graph))
    return [target for target in graph.targets if target in chosen]


def _match_name(graph: Graph, name: str) -> set[str]:
    if name in graph.targets:
        return {name}
    return {each.id for each in graph if each.kind == name or fnmatchcase(each.id, name)}


def needs(graph: Graph) -> dict[str, list[str]]:
    """target -> the targets it reads."""
    return {
        target.id: list(dict.fromkeys(input_target(each) for each in target.inputs.values()))
        for target in graph
    }


def needed_by(graph: Graph) -> dict[str, list[str]]:
    """target -> the targets that read it."""
    found: dict[str, list[str]] = {target: [] for target in graph.targets}
    for target, inputs in needs(graph).items():
        for each in inputs:
            found.setdefault(each, []).append(target)
    return found


def reachable(start: Iterable[str], edges: dict[str, list[str]]) -> set[str]:
    """Everything that the edges lead to, the start included."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            waiting.extend(edges.get(target, ()))
    return found
