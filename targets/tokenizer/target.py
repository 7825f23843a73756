"""Declares `tokenizer`, the student's."""

from __future__ import annotations

from nexusbuild.graph import Target
from specs.model import Spec
from targets.architecture.target import init_source
from targets.estimates import QUICK_SECONDS, quick_needs
from targets.pins import TOKENIZER
from targets.slices import section_fields, slice_of


def declare(spec: Spec, pinned_datasets: tuple[str, ...]) -> Target:
    """Learned from the training rows of the data sets that the lock names.

    A backbone that starts from a model keeps that model's tokenizer.
    """
    tokenizer = spec.student.tokenizer.model_dump(mode="json")
    declared = slice_of(spec, section_fields(tokenizer, "student.tokenizer"))
    return Target(
        id="tokenizer",
        work="targets.tokenizer.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={f"dataset/{name}": f"dataset:{name}#train.jsonl" for name in pinned_datasets},
        needs=quick_needs(),
        sources=init_source(spec),
        pin=TOKENIZER,
        expected_seconds=QUICK_SECONDS,
    )
