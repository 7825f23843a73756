"""Rules for what the bundle includes."""

from __future__ import annotations

from collections.abc import Iterator

from specs.crosschecks.sections import Sections, as_list
from specs.document import FieldPath
from specs.problems import SpecProblem
from specs.rooms import readable, writable


def include_problems(sections: Sections) -> Iterator[SpecProblem]:
    path: FieldPath = ("bundle", "include")
    include = sections.bundle.get("include")
    yield from sections.duplicates(include, path)
    yield from sections.unknown_names(include, path, "capabilities")
    for index, name in enumerate(as_list(include)):
        known = isinstance(name, str) and name in sections.capabilities
        if known and name not in sections.served and sections.complete:
            remedy = f"add {name} to the capabilities of a teacher, or leave it out"
            yield sections.problem((*path, index), f'no teacher serves "{name}"', remedy)


def trainable_problems(sections: Sections) -> Iterator[SpecProblem]:
    """What ships must be something that there is a trainer for."""
    include = as_list(sections.bundle.get("include"))
    for index, name in enumerate(include):
        missing = sections.without_a_trainer(name)
        if missing is not None:
            yield sections.problem(
                ("bundle", "include", index),
                f'"{name}" cannot ship: there is no trainer for {missing} yet',
                "leave it out: it stays declared, and the plan says so",
            )
    missing_in = [sections.without_a_trainer(name) for name in sections.capabilities]
    if missing_in and None not in missing_in:
        remedy = (
            f"declare one that reads {', '.join(readable())} and writes {', '.join(writable())}"
        )
        yield sections.problem(
            ("capabilities",), "none of these can be trained yet", remedy, at_key=True
        )
