"""Rules for teachers: what they are made of, and what they teach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.crosschecks.sections import Sections, as_mapping, names_in
from specs.document import FieldPath
from specs.problems import SpecProblem, known_names


def teacher_problems(sections: Sections) -> Iterator[SpecProblem]:
    first: dict[str, int] = {}
    for index, teacher in sections.teachers:
        path: FieldPath = ("teachers", index)
        identity = teacher.get("id")
        if isinstance(identity, str):
            if identity in first:
                line = sections.document.line_of(("teachers", first[identity], "id"))
                yield sections.problem(
                    (*path, "id"),
                    f'two teachers have the id "{identity}"; the first is on line {line}',
                    "give this one another id",
                )
            first.setdefault(identity, index)
        yield from _source(sections, teacher.get("source"), (*path, "source"))
        yield from _size(sections, teacher, (*path, "source", "hub"))
        taught = teacher.get("capabilities")
        yield from sections.duplicates(taught, (*path, "capabilities"))
        yield from sections.unknown_names(taught, (*path, "capabilities"), "capabilities")


def _source(sections: Sections, source: Any, path: FieldPath) -> Iterator[SpecProblem]:
    if not isinstance(source, dict):
        return
    given = [key for key in ("path", "hub", "train") if source.get(key) is not None]
    allowed = "allowed: one of path: FOLDER, hub: OWNER/MODEL, train: {...}"
    if not given:
        yield sections.problem(path, "names no source", allowed, at_key=True)
    elif len(given) > 1:
        why = f"stands next to {given[0]}"
        yield sections.problem((*path, given[1]), why, allowed, at_key=True)
    if "hub" in given and source.get("revision") is None:
        remedy = "add `revision: COMMIT`, so that the teacher cannot change"
        yield sections.problem((*path, "hub"), "has no revision", remedy)
    if "hub" not in given and source.get("revision") is not None:
        yield sections.problem(
            (*path, "revision"), "belongs to a hub only", "leave it out", at_key=True
        )
    if given and "path" not in given and source.get("origin") is not None:
        yield sections.problem(
            (*path, "origin"), "belongs to a path only", "leave it out", at_key=True
        )


def _size(sections: Sections, teacher: dict[str, Any], path: FieldPath) -> Iterator[SpecProblem]:
    """What no file on this disk says must be said, for it decides whether a teacher fits."""
    source = as_mapping(teacher.get("source"))
    complete = "hub" in source and "revision" in source and "path" not in source
    if complete and teacher.get("parameters") is None:
        remedy = "add `parameters: 8B` (its size) to the teacher"
        yield sections.problem(path, "is of unknown size", remedy)


def trained_teacher_problems(sections: Sections) -> Iterator[SpecProblem]:
    for index, teacher in sections.teachers:
        train = as_mapping(as_mapping(teacher.get("source")).get("train"))
        path: FieldPath = ("teachers", index, "source", "train")
        hidden, heads = train.get("hidden"), train.get("heads")
        yield from sections.uneven_heads(hidden, heads, (*path, "heads"))
        datasets = {
            dataset
            for name in names_in(teacher.get("capabilities"))
            if isinstance(dataset := sections.capabilities.get(name, {}).get("dataset"), str)
        }
        if train and len(datasets) > 1:
            yield sections.problem(
                path,
                f"would train on {len(datasets)} data sets: {known_names(datasets)}",
                "a teacher that the build trains serves capabilities of one data set; "
                "declare one teacher each",
                at_key=True,
            )
