"""What a spec declares and nothing can build yet: targets that are blocked, and say why.

A capability whose modality has no trainer, or a teacher from which no text comes, stands in the
plan with its sources, so that a person sees what it would need; it never enters what is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.kind import Context, Kind, Per
from targets.resolver.kinds import targets_of
from targets.resolver.order import in_order

BEGINNINGS = (Per.DATA_SET, Per.TEACHER, Per.TEACHER_AND_CAPABILITY)


def declared_only_targets(
    kinds: Mapping[str, Kind], context: Context, built: Mapping[str, Target]
) -> dict[str, Target]:
    """Every target that a declared pair of teacher and capability would begin with."""
    spec = context.spec
    found: dict[str, Target] = {}
    for one, name, modality in _untrainable(spec):
        data_set = spec.capabilities[name].dataset
        pair = replace(context, data_sets=(data_set,), taught=((one, name),))
        begun = [
            target
            for kind in kinds.values()
            if kind.per in BEGINNINGS
            for target in targets_of(kind, pair)
            if target.id not in built
        ]
        obstacle = f"{name}: no trainer for {modality} yet"
        found |= {
            target.id: replace(target, obstacle=obstacle) for target in in_order(begun, kinds, spec)
        }
    return found


def declared_only_notes(spec: Spec) -> list[str]:
    """A line for each teacher that can teach nothing yet, and one for all such capabilities."""
    trained = set(spec.served_capabilities())
    notes = []
    for one, name, modality in _untrainable(spec):
        if name in trained:
            notes.append(
                f"teacher {one.id} is declared only: no text comes from it ({modality}); "
                f"{name} is learned from the others"
            )
    declared: dict[str, list[str]] = {}
    for name, capability in spec.capabilities.items():
        if (why := capability.without_a_trainer()) is not None:
            declared.setdefault(why, []).append(name)
    if declared:
        kinds = [f"{', '.join(names)} ({modality})" for modality, names in declared.items()]
        notes.append(
            f"declared only, for there is no trainer for their modality yet: {'; '.join(kinds)}. "
            "Nothing of it is built, and it does not ship"
        )
    return notes


def _untrainable(spec: Spec) -> Iterator[tuple[Teacher, str, str]]:
    for one in spec.teachers:
        for name in sorted(one.capabilities):
            modality = spec.untrainable(one, name)
            if modality is not None:
                yield one, name, modality
