"""Ask the packed student every evaluation prompt, confined where no teacher can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nexus.adapters import load_adapter, merged
from nexus.packing import load_backbone
from targets.answers import Description, answered_rows
from targets.rows import read_json, read_rows, write_json, write_rows
from targets.score.confinement import Progress, run_confined
from targets.score.settings import Settings
from targets.teachers.tokenizers import open_tokenizer

if TYPE_CHECKING:
    from nexusbuild.graph import Job


def build(job: Job) -> None:
    """Write `eval.jsonl`, a row of answer and likelihood per prompt, and `confinement.json`."""
    confinement = run_confined(
        lambda progress: score(job, progress), job.inputs, job.out, job.scratch, job.progress
    )
    write_json(job.out / "confinement.json", confinement)


def score(job: Job, progress: Progress) -> None:
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
    write_rows(job.out / "eval.jsonl", answers)
