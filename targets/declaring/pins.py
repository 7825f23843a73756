"""What the lock holds on to: which data the tokenizer, and which traces the backbone are made of.

The first resolution takes what the spec has; from then on the lock decides, so that a capability
or a teacher that is added later changes neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nexusbuild.plugins import Problem, ResolveError
from specs.model import Spec

LOCK = "nexus.lock"
TOKENIZER = "tokenizer"
BACKBONE = "backbone"
ENCODER = "{medium}_encoder"


@dataclass(frozen=True, order=True)
class TeacherOf:
    """A teacher for a capability."""

    teacher: str
    capability: str

    def __str__(self) -> str:
        return f"{self.teacher}/{self.capability}"


@dataclass(frozen=True)
class Pins:
    """What pinned targets are made of, as far as the spec still has it.

    encoder_parts: by medium. lock_values: what the lock must hold; all that it held, also what the
    spec no longer has, so that an entry that comes back finds its place again.
    """

    tokenizer_datasets: tuple[str, ...]
    backbone_parts: tuple[TeacherOf, ...]
    encoder_parts: Mapping[str, tuple[TeacherOf, ...]]
    lock_values: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]


def pins_of(spec: Spec, lock_values: Mapping[str, Any]) -> Pins:
    """What is pinned by the lock's values, or by the spec where the lock has none.

    Raises ResolveError where the lock's values are not such as were written there.
    """
    general = [
        name for name in spec.included_capabilities() if not spec.capabilities[name].isolated
    ]
    datasets = sorted({spec.capabilities[name].dataset for name in general})
    pinned_datasets = _pinned_datasets(lock_values.get(TOKENIZER))
    notes = []
    if pinned_datasets is not None:
        notes += _notes(TOKENIZER, [name for name in datasets if name not in pinned_datasets])
    datasets = datasets if pinned_datasets is None else pinned_datasets
    made_of = {BACKBONE: general} | {
        encoder_group(medium): [name for name in general if medium in spec.capabilities[name].media]
        for medium in spec.media()
    }
    parts: dict[str, dict[str, list[str]]] = {}
    for group, capabilities in made_of.items():
        today = {name: [one.id for one in spec.teachers_of(name)] for name in capabilities}
        pinned = _pinned_parts(lock_values.get(group), group)
        if pinned is not None:
            notes += _notes(group, _added_teachers(today, pinned))
        parts[group] = today if pinned is None else pinned
    return Pins(
        tokenizer_datasets=tuple(name for name in datasets if name in spec.datasets),
        backbone_parts=_still_there(spec, parts[BACKBONE]),
        encoder_parts={
            medium: _still_there(spec, parts[encoder_group(medium)]) for medium in spec.media()
        },
        lock_values={
            TOKENIZER: {"datasets": datasets},
            **{group: {"capabilities": of_group} for group, of_group in parts.items()},
        },
        notes=tuple(notes),
    )


def encoder_group(medium: str) -> str:
    """The lock's group that pins the encoder of a medium."""
    return ENCODER.format(medium=medium)


def _added_teachers(today: Mapping[str, list[str]], pinned: Mapping[str, list[str]]) -> list[str]:
    """Teachers for capabilities that a pinned target was made without."""
    return [
        f"{teacher}/{name}"
        for name, teachers in today.items()
        for teacher in teachers
        if teacher not in pinned.get(name, [])
    ]


def _still_there(spec: Spec, parts: Mapping[str, list[str]]) -> tuple[TeacherOf, ...]:
    """The parts that the spec still has."""
    return tuple(
        TeacherOf(teacher.id, name)
        for name in sorted(parts)
        if name in spec.capabilities
        for teacher in sorted(spec.teachers_of(name), key=lambda teacher: teacher.id)
        if teacher.id in parts[name]
    )


def _notes(group: str, added: list[str]) -> list[str]:
    if not added:
        return []
    return [
        f"{group} is pinned and was made without {', '.join(added)}; "
        f"`nexusbuild lock --upgrade {group}` would make it again with what the spec has today"
    ]


def _pinned_datasets(values: Any) -> list[str] | None:
    if values is None:
        return None
    datasets = values.get("datasets") if isinstance(values, Mapping) else None
    if not _is_names(datasets):
        raise _unreadable(TOKENIZER, "datasets", "a list of data sets")
    return list(datasets or [])


def _pinned_parts(values: Any, group: str) -> dict[str, list[str]] | None:
    if values is None:
        return None
    parts = values.get("capabilities") if isinstance(values, Mapping) else None
    if not isinstance(parts, Mapping) or not all(
        isinstance(name, str) and _is_names(teachers) for name, teachers in parts.items()
    ):
        raise _unreadable(group, "capabilities", "a list of teachers for each capability")
    return {name: list(teachers) for name, teachers in parts.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _unreadable(group: str, field: str, wanted: str) -> ResolveError:
    problem = Problem(
        message=f"is not {wanted}",
        file=LOCK,
        field=f"values.{group}.{field}",
        remedy=f"restore the file, or write it again with `nexusbuild lock --upgrade {group}`",
    )
    return ResolveError([problem])
