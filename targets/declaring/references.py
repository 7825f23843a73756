"""Where the references stand that a capability is scored against.

Those of the data set, where it has answers. A data set of prompts alone has none: there the
teacher's own answers on the held-out prompts, kept in its baseline, are what the student is to
find likely or to say.
"""

from __future__ import annotations

from specs.model import Spec
from targets.dataset.target import answers_needed

KEPT_IN_BASELINE = "{split}_references.jsonl"


def teacher_is_reference(spec: Spec, capability: str) -> bool:
    """Whether a capability's data set has prompts alone."""
    name = spec.capabilities[capability].dataset
    dataset = spec.datasets[name]
    return dataset.path is not None and dataset.response is None and not answers_needed(spec, name)


def reference(spec: Spec, capability: str, split: str) -> str:
    """The input that holds a split's rows with their references."""
    if teacher_is_reference(spec, capability):
        teacher = spec.teachers_of(capability)[0].id
        return f"baseline:{teacher}/{capability}#{KEPT_IN_BASELINE.format(split=split)}"
    return f"dataset:{spec.capabilities[capability].dataset}#{split}.jsonl"
