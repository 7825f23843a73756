"""How long targets will take: from their last run, else from what their kind of work took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nexusbuild.graph import Graph, Target
from nexusbuild.rule.record import Record


def expected_durations(
    graph: Graph, targets: Iterable[str], results: Mapping[str, Record]
) -> dict[str, float | None]:
    """target -> seconds, None where nothing is known. results: target -> its last result.

    A hint in the target (`expected_seconds`) scales its history when the hint has changed since,
    and, calibrated by how the other targets' hints fared here, stands in where there is none.
    """
    ratios = []
    for target, record in results.items():
        hint = graph[target].expected_seconds if target in graph.targets else None
        if hint and hint == record.provenance.get("expected_seconds"):
            ratios.append(_seconds(record) / hint)
    # The median (of an even number the upper one): `statistics` takes long to import.
    pace = sorted(ratios)[len(ratios) // 2] if ratios else 1.0
    return {each: _expected(graph[each], results.get(each), pace) for each in targets}


def _expected(target: Target, record: Record | None, pace: float) -> float | None:
    hint = target.expected_seconds
    if record is None:
        return hint * pace if hint is not None else None
    then = record.provenance.get("expected_seconds")
    if hint and isinstance(then, (int, float)) and then > 0:
        return _seconds(record) * hint / then
    return _seconds(record)


def _seconds(record: Record) -> float:
    seconds = record.provenance.get("seconds", 0.0)
    return float(seconds) if isinstance(seconds, (int, float)) else 0.0
