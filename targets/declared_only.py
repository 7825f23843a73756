"""What a spec declares and nothing can build yet: targets that are blocked, and say why.

A capability whose modality has no trainer, or a teacher from which no text comes, stands in the
plan with its sources, so that a person sees what it would need; it never enters what is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from specs.teachers import Teacher
from specs.values import TRAINABLE_MODALITIES, Modality
from targets.baseline import target as baseline
from targets.dataset import target as dataset
from targets.profile import target as profile
from targets.teacher import target as teacher
from targets.trace import target as trace


def declared_only_targets(
    spec: Spec, folder: SpecFolder, built: Mapping[str, Target]
) -> Iterator[Target]:
    """Every target that a declared pair of teacher and capability would begin with."""
    for one, name, modality in _untrainable(spec):
        obstacle = f"{name}: no trainer for {modality} yet"
        targets = [
            dataset.declare(spec, folder, spec.capabilities[name].dataset),
            teacher.declare(spec, folder, one),
            baseline.declare(spec, folder, one, name),
            profile.declare(spec, folder, one, name),
            trace.declare(spec, folder, one, name),
        ]
        yield from (
            replace(target, obstacle=obstacle) for target in targets if target.id not in built
        )


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
    declared: dict[Modality, list[str]] = {}
    for name, capability in spec.capabilities.items():
        if capability.modality not in TRAINABLE_MODALITIES:
            declared.setdefault(capability.modality, []).append(name)
    if declared:
        kinds = [f"{', '.join(names)} ({modality})" for modality, names in declared.items()]
        notes.append(
            f"declared only, for there is no trainer for their modality yet: {'; '.join(kinds)}. "
            "Nothing of it is built, and it does not ship"
        )
    return notes


def _untrainable(spec: Spec) -> Iterator[tuple[Teacher, str, Modality]]:
    for one in spec.teachers:
        for name in sorted(one.capabilities):
            modality = spec.untrainable(one, name)
            if modality is not None:
                yield one, name, modality
