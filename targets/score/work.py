"""Ask the packed student every evaluation prompt, confined where no teacher can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from modalities.json_files import read_json, read_rows, write_json, write_rows
from modalities.text.answers import Description, answered_rows
from modalities.text.harness.answering import answer_tasks
from modalities.text.harness.tasks import Harness, load_tasks
from nexus.adapters import load_adapter, merged
from nexus.packing import load_backbone
from opened_models.tokenizers import open_tokenizer
from targets.score.confinement import Progress, run_confined
from targets.score.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

# Prompts that the backbone answers alone, too: enough to see what an adapter adds.
BACKBONE_ROWS = 100


def build(job: Job) -> None:
    """Write `eval.jsonl`, a row of answer and likelihood per prompt, `backbone.jsonl`, the same of
    the backbone without its adapter for the first prompts, and `confinement.json`; and what harness
    tasks the settings name, as `modalities.text.harness` has it.
    """
    harness = Harness.from_job(job.settings, job.sources)
    # Before the confinement: documents may have to be fetched. No model is open yet.
    tasks = load_tasks(harness, job.scratch / "documents") if harness else {}
    confinement = run_confined(
        lambda progress: score(job, tasks, progress), job.inputs, job.out, job.scratch, job.progress
    )
    write_json(job.out / "confinement.json", confinement)


def score(job: Job, tasks: Mapping[str, Any], progress: Progress) -> None:
    """The packed components through the shipped runtime: no router, no manifest."""
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    capability = job.target.partition(":")[2]
    folder = job.inputs["adapter"]
    adapter = load_adapter(
        folder / f"{capability}_adapter.safetensors", folder / f"{capability}_adapter.json"
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_backbone(job.inputs["backbone"], device)
    tokenizer = open_tokenizer(job.inputs["tokenizer"])
    description = Description.from_json(read_json(job.inputs["description"]))
    rows = read_rows(job.inputs["eval"])
    with merged(model, adapter):
        answers = answered_rows(
            model, tokenizer, rows, description, batch=settings.batch, progress=progress
        )
        if tasks:
            answer_tasks(model, tokenizer, tasks, job.out, batch=settings.batch)
    write_rows(job.out / "eval.jsonl", answers)
    alone = answered_rows(model, tokenizer, rows[:BACKBONE_ROWS], description, batch=settings.batch)
    write_rows(job.out / "backbone.jsonl", alone)
