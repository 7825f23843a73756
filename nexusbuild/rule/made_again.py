"""Which results of an archive are not taken from it, but made again here.

An archive saves hours of work. What it says of itself nobody can check, so whatever decides over a
release, and whatever costs next to nothing, is not taken on its word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from nexusbuild.rule.graph import Graph, Target, input_target
from nexusbuild.rule.record import Record

QUICK_SECONDS = 10.0


def made_again(
    graph: Graph, offered: Sequence[Record], has_sources: Callable[[Target], bool]
) -> dict[str, str]:
    """key -> why it is left out, for those of the offered results that are.

    Verdicts and releases always; what the spec does not know; and what took seconds, unless its
    sources are missing here, it is pinned, or a result that is taken was made from it: made again
    on another kind of machine it may come out different, and the long work would be lost.
    """
    left: dict[str, str] = {}
    quick: dict[str, Record] = {}
    for record in offered:
        target = graph.targets.get(record.target)
        if target is None:
            left[record.key] = "the spec has no such target"
        elif target.verdict is not None or record.verdict is not None:
            left[record.key] = "a verdict is made where it counts"
        elif target.release:
            left[record.key] = "a release is put together here"
        elif record.seconds < QUICK_SECONDS and target.pin is None and has_sources(target):
            quick[record.key] = record
    for key in _needed_quick_ones(
        [each for each in offered if each.key not in {*left, *quick}], quick
    ):
        quick.pop(key)
    return left | {key: f"it took {record.seconds:.1f} s" for key, record in quick.items()}


def has_all_sources(graph: Graph, folder: Path) -> Callable[[Target], bool]:
    """Whether the sources of a target, and of all that it needs, are on this machine. Relative ones
    lie in `folder`.
    """
    known: dict[str, bool] = {}

    def has(target: Target) -> bool:
        waiting, seen = [target], {target.id}
        while waiting:
            each = waiting.pop()
            if each.id not in known:
                known[each.id] = all(
                    os.path.exists(folder / source.path)  # noqa: PTH110
                    for source in each.sources.values()
                )
            if not known[each.id]:
                return False
            above = {input_target(reference) for reference in each.inputs.values()} - seen
            seen |= above
            waiting += [graph[name] for name in above]
        return True

    return has


def _needed_quick_ones(taken: Sequence[Record], quick: dict[str, Record]) -> set[str]:
    """The quick ones that a result that is taken was made from, at whatever distance."""
    found: set[str] = set()
    waiting = list(taken)
    while waiting:
        for use in waiting.pop().inputs.values():
            if use.key in quick and use.key not in found:
                found.add(use.key)
                waiting.append(quick[use.key])
    return found
