"""Rules for the model that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from specs.crosschecks.sections import Sections, as_mapping, is_count
from specs.document import FieldPath
from specs.problems import SpecProblem

NF4_MULTIPLE = 64


def tokenizer_problems(sections: Sections) -> Iterator[SpecProblem]:
    tokenizer = as_mapping(sections.student.get("tokenizer"))
    path: FieldPath = ("student", "tokenizer")
    named, wanted = tokenizer.get("teacher"), tokenizer.get("kind") == "teacher"
    if wanted and named is None:
        yield sections.problem((*path, "kind"), "no teacher is named", "name one: `teacher: ID`")
    if named is not None and not wanted:
        yield sections.problem(
            (*path, "teacher"),
            "a tokenizer of its own is no teacher's",
            "say `kind: teacher`, or drop this",
            at_key=True,
        )
    yield from sections.unknown_name(named, (*path, "teacher"), "teachers")


def backbone_problems(sections: Sections) -> Iterator[SpecProblem]:
    backbone = as_mapping(sections.student.get("backbone"))
    path: FieldPath = ("student", "backbone")
    yield from sections.uneven_heads(
        backbone.get("hidden"), backbone.get("heads"), (*path, "heads")
    )
    if sections.bundle.get("quantize") == "nf4":
        for key in ("hidden", "intermediate"):
            width = backbone.get(key)
            if is_count(width) and width % NF4_MULTIPLE:
                near = max(NF4_MULTIPLE, round(width / NF4_MULTIPLE) * NF4_MULTIPLE)
                yield sections.problem(
                    (*path, key),
                    f"nf4 needs widths that are multiples of {NF4_MULTIPLE}; {width} is not",
                    f"take {near}, or another bundle.quantize",
                )
    start = as_mapping(backbone.get("init")).get("path")
    if not isinstance(start, str):
        return
    for _, teacher in sections.teachers:
        folder = as_mapping(teacher.get("source")).get("path")
        if isinstance(folder, str) and PurePosixPath(folder) == PurePosixPath(start):
            yield sections.problem(
                (*path, "init", "path"),
                f'is the teacher "{teacher.get("id")}": its weights would ship',
                "start from a model that is no teacher, or from scratch",
            )
