"""Which answers a capability is learned from and scored against, and which harness tasks it has.

References are those of the data set, where it has answers. A data set of prompts alone has none:
there the teacher's own answers on the held-out prompts, kept in its baseline, are what the student
is to find likely or to say.
"""

from __future__ import annotations

from nexusbuild.plugins import Source
from specs.model import Spec
from targets.declaring.slices import Field

ANSWERING = "modalities.text.harness.answering"
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


def answers_needed(spec: Spec, name: str) -> bool:
    """Whether anything is learned from a data set's own answers: not where every capability that
    uses it learns the teachers' own, and no teacher is trained on it.
    """
    uses = [one for one, value in spec.capabilities.items() if value.dataset == name]
    own = [spec.capabilities[one].trace.answers == "dataset" for one in uses]
    trained = [teacher.source.train for one in uses for teacher in spec.teachers_of(one)]
    return not uses or any(own) or any(train is not None for train in trained)


def harness_fields(spec: Spec, capability: str) -> dict[str, Field]:
    """The setting `harness`; none where the capability has no task, so that no key changes."""
    harness = spec.capabilities[capability].harness
    if harness is None:
        return {}
    return {"harness": ({"tasks": list(harness.tasks)}, f"capabilities.{capability}.harness")}


def harness_code(spec: Spec, capability: str) -> dict[str, str]:
    """What such a target loads by name; nothing where the capability has no task."""
    return {} if spec.capabilities[capability].harness is None else {"harness": ANSWERING}


def harness_sources(spec: Spec, capability: str) -> dict[str, Source]:
    """The role `tasks`: the folder with task files of one's own."""
    harness = spec.capabilities[capability].harness
    if harness is None or harness.folder is None:
        return {}
    remedy = (
        f"put the task files and their rows there, or correct "
        f"capabilities.{capability}.harness.folder"
    )
    return {"tasks": Source(harness.folder, remedy)}
