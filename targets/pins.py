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

    lock_values: what the lock must hold; all that it held, also what the spec no longer has, so
    that an entry that comes back finds its place again.
    """

    tokenizer_datasets: tuple[str, ...]
    backbone_parts: tuple[TeacherOf, ...]
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
    parts = {name: [teacher.id for teacher in spec.teachers_of(name)] for name in general}
    pinned_datasets = _pinned_datasets(lock_values.get(TOKENIZER))
    pinned_parts = _pinned_parts(lock_values.get(BACKBONE))
    notes = []
    if pinned_datasets is not None:
        notes += _notes(TOKENIZER, [name for name in datasets if name not in pinned_datasets])
    if pinned_parts is not None:
        added = [
            f"{teacher}/{name}"
            for name, teachers in parts.items()
            for teacher in teachers
            if teacher not in pinned_parts.get(name, [])
        ]
        notes += _notes(BACKBONE, added)
    datasets = datasets if pinned_datasets is None else pinned_datasets
    parts = parts if pinned_parts is None else pinned_parts
    return Pins(
        tokenizer_datasets=tuple(name for name in datasets if name in spec.datasets),
        backbone_parts=tuple(
            TeacherOf(teacher.id, name)
            for name in sorted(parts)
            if name in spec.capabilities
            for teacher in sorted(spec.teachers_of(name), key=lambda teacher: teacher.id)
            if teacher.id in parts[name]
        ),
        lock_values={TOKENIZER: {"datasets": datasets}, BACKBONE: {"capabilities": parts}},
        notes=tuple(notes),
    )


def _notes(group: str, added: list[str]) -> list[str]:
    if not added:
        return []
    return [
        f"{group} is pinned and was made without {', '.join(added)}; "
        f"`nexusbuild lock --upgrade {group}` would make it anew with what the spec has today"
    ]


def _pinned_datasets(values: Any) -> list[str] | None:
    if values is None:
        return None
    datasets = values.get("datasets") if isinstance(values, Mapping) else None
    if not _is_names(datasets):
        raise _unreadable(TOKENIZER, "datasets", "a list of data sets")
    return list(datasets or [])


def _pinned_parts(values: Any) -> dict[str, list[str]] | None:
    if values is None:
        return None
    parts = values.get("capabilities") if isinstance(values, Mapping) else None
    if not isinstance(parts, Mapping) or not all(
        isinstance(name, str) and _is_names(teachers) for name, teachers in parts.items()
    ):
        raise _unreadable(BACKBONE, "capabilities", "a list of teachers for each capability")
    return {name: list(teachers) for name, teachers in parts.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _unreadable(group: str, field: str, wanted: str) -> ResolveError:
    problem = Problem(
        message=f"is not {wanted}",
        file=LOCK,
        field=f"values.{group}.{field}",
        remedy=f"restore the file, or write it anew with `nexusbuild lock --upgrade {group}`",
    )
    return ResolveError([problem])
