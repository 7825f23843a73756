"""Declares `tokenizer`, the student's."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.pins import TOKENIZER
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.sources import init_source
from targets.declaring.teachers import tokenizer_inputs


def declare(spec: Spec, pinned_datasets: tuple[str, ...]) -> Target:
    """Learned from the training rows of the data sets that the lock names.

    Or a teacher's, where one is named. A backbone that starts from a model keeps that model's.
    """
    tokenizer = spec.student.tokenizer.model_dump(mode="json")
    taken = spec.student.tokenizer.teacher if spec.student.tokenizer.kind == "teacher" else None
    wanted = ("kind", "teacher") if taken else ("kind", "vocab")
    fields = {name: tokenizer[name] for name in wanted}
    declared = slice_of(spec, section_fields(fields, "student.tokenizer"))
    rows = {f"dataset/{name}": f"dataset:{name}#train.jsonl" for name in pinned_datasets}
    return Target(
        id="tokenizer",
        work="targets.tokenizer.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs=tokenizer_inputs([taken]) if taken else rows,
        sources=init_source(spec),
        pin=TOKENIZER,
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The student's."""
    yield declare(context.spec, context.pins.tokenizer_datasets)


KIND = Kind(
    name="tokenizer",
    per=Per.BUILD,
    declare=declare_all,
)
