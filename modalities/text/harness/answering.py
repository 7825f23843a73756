"""A model's answers to harness tasks, through the harness's own evaluation, as rows.

The harness renders prompts, asks the model (through its own wrapper of transformers models) and
scores each document; the rows keep every score of a document whose mean the harness reports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.json_files import write_json, write_rows
from modalities.text.harness.tasks import Harness, load_tasks

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

ROWS, ABOUT = "harness.jsonl", "harness.json"


def tasks_of_job(job: Job) -> Mapping[str, Any]:
    """The harness's task objects that a target's settings name, with their documents: reads the
    network where these come from a hub. Raises as `load_tasks`.
    """
    harness = Harness.from_job(job.settings, job.sources)
    return load_tasks(harness, job.scratch / "documents") if harness else {}


def answer_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Any],
    out: Path,
    *,
    batch: int,
) -> None:
    """Write `harness.jsonl`, a row per document, and `harness.json`: metrics and directions."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    found = lm_eval.evaluate(
        wrapped, {"tasks": dict(tasks), "groups": {}, "group_map": {}}, bootstrap_iters=0
    )
    assert found is not None
    about = {name: _about(task, found["samples"][name]) for name, task in tasks.items()}
    write_rows(
        out / ROWS,
        (
            row
            for name in sorted(tasks)
            for row in _rows(name, found["samples"][name], about[name]["higher_is_better"])
        ),
    )
    write_json(out / ABOUT, {"version": lm_eval.__version__, "tasks": about})


def _about(task: Any, samples: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Direction of each metric that is a mean over documents, by `metric,filter`; the harness's own
    first one is the default. choose: whether a document is a choice between answers.
    """
    from lm_eval.api.registry import get_aggregation

    mean, aggregation = get_aggregation("mean"), task.aggregation()
    filters = dict.fromkeys(sample["filter"] for sample in samples)
    directions = {
        f"{metric},{kind}": bool(better)
        for kind in filters
        for metric, better in task.higher_is_better().items()
        if aggregation.get(metric) is mean
    }
    return {
        "higher_is_better": directions,
        "choose": task.OUTPUT_TYPE == "multiple_choice",
        "default": next(iter(directions), None),
    }


def _rows(
    name: str, samples: list[Mapping[str, Any]], kept: Mapping[str, bool]
) -> Iterator[dict[str, Any]]:
    """One row a document; the harness has one sample for each of its filters."""
    documents: dict[int, dict[str, Any]] = {}
    for sample in samples:
        number = sample["doc_id"]
        row = documents.setdefault(number, _row(name, sample))
        for metric in sample["metrics"]:
            key = f"{metric},{sample['filter']}"
            if key in kept:
                row["scores"][key] = float(sample[metric])
    yield from (documents[number] for number in sorted(documents))


def _row(name: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    """id: of the task and the document, so that it pairs with another model's."""
    identity = f"{name}/{sample['doc_id']}/{sample['doc_hash']}"
    asked, responses = sample["arguments"], sample["filtered_resps"]
    if isinstance(responses[0], str):
        answer = responses[0]
    else:  # likelihoods, one for each choice
        likeliest = max(range(len(responses)), key=lambda index: float(responses[index][0]))
        answer = str(asked[likeliest][1]) if len(asked[likeliest]) > 1 else ""
    return {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "task": name,
        "prompt": str(asked[0][0]),
        "answer": answer,
        "reference": str(sample["target"]),
        "choices": len(responses),
        "scores": {},
    }
