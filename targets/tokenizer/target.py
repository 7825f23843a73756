"""Declares `tokenizer`, the student's."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.architecture.target import init_source
from targets.budget.estimates import QUICK_SECONDS, quick_needs
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.traced import tokenizer_inputs
from targets.pins import TOKENIZER


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
        needs=quick_needs(),
        sources=init_source(spec),
        pin=TOKENIZER,
        expected_seconds=QUICK_SECONDS,
    )
