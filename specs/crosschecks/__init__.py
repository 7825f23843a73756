"""Rules that look at more than one field of a spec.

They read the document's plain data, not the validated spec, so that one run finds every mistake:
whatever has the wrong shape was reported before and is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator

from specs.crosschecks.capabilities import (
    capability_problems,
    isolation_problems,
    reference_problems,
    trace_problems,
)
from specs.crosschecks.contracts import contract_problems
from specs.crosschecks.datasets import dataset_problems
from specs.crosschecks.licences import licence_problems
from specs.crosschecks.sections import Sections
from specs.crosschecks.shipped import include_problems, trainable_problems
from specs.crosschecks.student import backbone_problems, tokenizer_problems
from specs.crosschecks.teachers import teacher_problems, trained_teacher_problems
from specs.document import Document
from specs.problems import SpecProblem

_RULES = (
    dataset_problems,
    teacher_problems,
    trained_teacher_problems,
    capability_problems,
    reference_problems,
    trace_problems,
    isolation_problems,
    contract_problems,
    include_problems,
    trainable_problems,
    licence_problems,
    tokenizer_problems,
    backbone_problems,
)


def crosscheck_problems(document: Document) -> Iterator[SpecProblem]:
    """Every violation of a rule between fields, one by one: there can be very many."""
    if isinstance(document.data, dict):
        sections = Sections(document)
        for rule in _RULES:
            yield from rule(sections)
