"""The order in which targets appear: each after its inputs, what belongs together side by side.

Data sets come first, then each teacher with all that is its own, then what there is once, then each
capability's chain, and the router's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from nexusbuild.plugins import Target, input_target
from specs.model import Spec
from specs.values import ROUTER
from targets.declaring.kind import Kind, Per

Place = tuple[int, int, str, bool, int, str]
"""Section and subject; in one subject lists first, then what has the fewest steps before it."""
SECTIONS = {
    Per.DATA_SET: 0,
    Per.TEACHER: 1,
    Per.TEACHER_AND_CAPABILITY: 1,
    Per.BUILD: 2,
    Per.MEDIUM: 2,
    Per.CAPABILITY: 3,
}
ROUTERS = 4


def in_order(targets: Iterable[Target], kinds: Mapping[str, Kind], spec: Spec) -> list[Target]:
    """Of all targets whose inputs are among them the one whose place is first (Kahn 1962).

    An input that is not there is not waited for; what waits for itself comes last.
    """
    by_id = {target.id: target for target in targets}
    waits = {
        target.id: {input_target(each) for each in target.inputs.values()} & by_id.keys()
        for target in by_id.values()
    }
    readers: dict[str, list[str]] = {}
    for reader, inputs in waits.items():
        for each in inputs:
            readers.setdefault(each, []).append(reader)
    teachers = {one.id: index for index, one in enumerate(spec.teachers)}

    def place(name: str) -> Place:
        target = by_id[name]
        kind = kinds[target.kind]
        section, index, subject = _subject(target, kind, spec, teachers)
        return section, index, subject, not kind.lists_only, depth[name], kind.name

    depth = dict.fromkeys(by_id, 0)
    ready = [(place(name), name) for name, left in waits.items() if not left]
    heapq.heapify(ready)
    found: dict[str, Target] = {}
    while ready:
        _, name = heapq.heappop(ready)
        found[name] = by_id[name]
        for reader in readers.get(name, ()):
            depth[reader] = max(depth[reader], depth[name] + 1)
            waits[reader].discard(name)
            if not waits[reader]:
                heapq.heappush(ready, (place(reader), reader))
    return [*found.values(), *(target for name, target in by_id.items() if name not in found)]


def _subject(
    target: Target, kind: Kind, spec: Spec, teachers: Mapping[str, int]
) -> tuple[int, int, str]:
    """What a target belongs to: section, place of its teacher in the spec, name."""
    section = SECTIONS[kind.per]
    if kind.per in (Per.TEACHER, Per.TEACHER_AND_CAPABILITY):
        teacher, _, capability = target.name.partition("/")
        return section, teachers.get(teacher, len(teachers)), capability
    if (target.name or target.kind) == ROUTER:
        return ROUTERS, 0, ""
    if kind.per is Per.CAPABILITY and target.name not in spec.capabilities:
        return SECTIONS[Per.BUILD], 0, ""
    return section, 0, target.name
