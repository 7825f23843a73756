"""What the rules look at: the plain data of a document, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, TypeGuard, get_args

from specs.document import Document, FieldPath
from specs.problems import SpecProblem, known_names, nearest, suggestion
from specs.rooms import TEXT, missing_trainer
from specs.values import Modality

Declaring = Literal["datasets", "teachers", "capabilities"]


class Sections:
    """The document's sections, as far as they have the right shape, and what several rules ask."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problem = document.problem
        data = document.data
        self.datasets = as_mappings(data.get("datasets"))
        self.capabilities = as_mappings(data.get("capabilities"))
        self.contracts = as_mapping(data.get("contracts"))
        self.student = as_mapping(data.get("student"))
        self.bundle = as_mapping(data.get("bundle"))
        self.teachers: list[tuple[int, dict[str, Any]]] = [
            (index, teacher)
            for index, teacher in enumerate(as_list(data.get("teachers")))
            if isinstance(teacher, dict)
        ]
        self.teacher_ids = {str(teacher.get("id")) for _, teacher in self.teachers}
        # A misspelt name counts for what it was meant to be: it is reported where it stands.
        # Of what a section of the wrong shape was meant to say, nothing is said.
        self.complete = bool(self.teachers) and bool(self.capabilities)
        self.served = {
            nearest(name, self.capabilities) or name
            for _, teacher in self.teachers
            for name in name_or_names(teacher.get("capabilities"))
        }

    def without_a_trainer(self, name: Any) -> str | None:
        """What of a capability there is no trainer for, in words; None where it can be trained,
        or what it says of itself is not what a capability may say.
        """
        capability = self.capabilities.get(name, {}) if isinstance(name, str) else {}
        modality, writes = capability.get("modality", TEXT), capability.get("writes", TEXT)
        known = modality if modality in get_args(Modality) else TEXT
        reads = names_in(capability.get("reads"))
        return missing_trainer(known, reads, writes if isinstance(writes, str) else TEXT)

    def uneven_heads(self, hidden: Any, heads: Any, path: FieldPath) -> Iterator[SpecProblem]:
        """Attention heads that do not divide the width."""
        if is_count(hidden) and is_count(heads) and hidden % heads:
            yield self.problem(
                path,
                f"{heads} heads do not divide a width of {hidden}",
                f"allowed: {_divisors(hidden)}",
            )

    def unknown_name(self, name: Any, path: FieldPath, section: Declaring) -> Iterator[SpecProblem]:
        """A name that the section does not declare; nothing of a section that declares none."""
        kind, known = {
            "datasets": ("data set", self.datasets),
            "teachers": ("teacher", self.teacher_ids),
            "capabilities": ("capability", self.capabilities),
        }[section]
        if isinstance(name, str) and name not in known and known:
            meant = suggestion(name, known) or f"; or declare {name} under {section}"
            remedy = f"allowed: {known_names(known)}{meant}"
            yield self.problem(path, f'no such {kind}: "{name}"', remedy)

    def unknown_names(
        self, names: Any, path: FieldPath, section: Declaring
    ) -> Iterator[SpecProblem]:
        """The same, of each name in a list."""
        for index, name in enumerate(as_list(names)):
            yield from self.unknown_name(name, (*path, index), section)

    def duplicates(self, names: Any, path: FieldPath) -> Iterator[SpecProblem]:
        """Names that a list has more than once."""
        counts = Counter(names_in(names))
        for index, name in enumerate(as_list(names)):
            if isinstance(name, str) and counts[name] > 1:
                counts[name] = 0  # once is enough
                yield self.problem(
                    (*path, index), f'"{name}" stands there more than once', "name it once"
                )


def as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_mappings(value: Any) -> dict[str, dict[str, Any]]:
    return {name: as_mapping(inner) for name, inner in as_mapping(value).items()}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def names_in(value: Any) -> list[str]:
    return [name for name in as_list(value) if isinstance(name, str)]


def name_or_names(value: Any) -> list[str]:
    """Like `names_in`, and one name where a list was meant."""
    return [value] if isinstance(value, str) else names_in(value)


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _divisors(width: int) -> str:
    found = [number for number in range(1, min(width, 128) + 1) if width % number == 0]
    return ", ".join(str(number) for number in found)
