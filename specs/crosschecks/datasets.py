"""Rules for data sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.crosschecks.sections import Sections, is_count
from specs.datasets import Dataset
from specs.document import FieldPath
from specs.problems import SpecProblem


def dataset_problems(sections: Sections) -> Iterator[SpecProblem]:
    for name, dataset in sections.datasets.items():
        path: FieldPath = ("datasets", name)
        given = [key for key in ("sample", "path") if dataset.get(key) is not None]
        if not given:
            remedy = "say `sample: NAME` or `path: FILE`"
            yield sections.problem(path, "has neither sample nor path", remedy, at_key=True)
        elif len(given) == 2:
            yield sections.problem(
                (*path, "path"), "has a sample and a path", "keep one of the two", at_key=True
            )
        elif given == ["sample"]:
            for key in ("prompt", "response", "tests", "origin"):
                if dataset.get(key) is not None:
                    remedy = "leave it out: a sampler names its own rows"
                    yield sections.problem(
                        (*path, key), "belongs to a path only", remedy, at_key=True
                    )
        if given == ["sample"] and dataset.get("rows") is None:
            remedy = "say `rows: NUMBER`: a sampler never runs out"
            yield sections.problem((*path, "sample"), "has no number of rows", remedy)
        yield from _splits(sections, dataset, path)
        template = dataset.get("template")
        if isinstance(template, str) and template.count("{prompt}") > 1:
            yield sections.problem(
                (*path, "template"),
                "{prompt} stands there more than once",
                "allowed: text with {prompt} in it, once",
            )


def _splits(sections: Sections, dataset: dict[str, Any], path: FieldPath) -> Iterator[SpecProblem]:
    rows = dataset.get("rows")
    held = [
        dataset.get(split, Dataset.model_fields[split].default)
        for split in ("eval", "validation", "pilot")
    ]
    if is_count(rows) and all(map(is_count, held)) and rows <= sum(held):
        yield sections.problem(
            (*path, "rows"),
            f"{rows} rows leave none to train on",
            f"eval {held[0]} + validation {held[1]} + pilot {held[2]} take {sum(held)}: "
            "give more rows, or ask for smaller splits",
        )
