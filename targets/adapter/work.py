"""Train a capability's adapter against the backbone exactly as it ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from modalities.intakes import open_intakes
from modalities.json_files import read_json, read_rows, write_json, write_rows
from modalities.payloads import rows_with_paths
from modalities.text.answers import Description
from modalities.text.student_rows import student_rows
from modalities.text.trace_sources import best_rows, trace_sources
from nexus.packing import load_backbone
from opened_models.tokenizers import open_tokenizer
from targets.adapter.low_rank import (
    embedding_name,
    fresh_low_rank,
    linear_names,
    peft_config,
    peft_tensors,
)
from targets.adapter.recovery import told
from targets.adapter.settings import Settings
from targets.adapter.soft_prompts import SoftPrompts, TrainableProjection
from targets.adapter.training import AdapterTraining, Validation
from training.device import device_of_job
from training.loop import Run, Schedule
from training.muon import MuonWithAdamW
from training.watch import Watch

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

PROJECTION = "projection.safetensors"


def build(job: Job) -> None:
    """Write `adapter_model.safetensors`, `lora_config.json` and `training_log.jsonl`; and
    `projection.safetensors`, where the capability reads more than text.
    """
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    tokenizer = open_tokenizer(job.inputs["tokenizer"])
    # Weights of the packed backbone, dequantised: what the runtime computes with.
    device = device_of_job()
    model = load_backbone(job.inputs["backbone"], str(device))
    adapter = fresh_low_rank(model, planned_ranks(job, model), job.seed)
    validation = validation_of(job, settings)
    sources = trace_sources(job.inputs, open_tokenizer, capability="")
    rows = student_rows(
        sources,
        tokenizer,
        job.scratch / "rows",
        lambda done: job.progress(0, settings.steps, note=f"rows laid out: {done}"),
    )
    soft = None
    if job.settings.get("reads"):
        projection = trainable_projection(job, model)
        learned = [{"parts": traced.row["parts"]} for _, traced in best_rows(sources)]
        soft = soft_prompts(job, projection, learned)
        validation = replace(validation, soft=soft_prompts(job, projection, validation.rows))
    training = AdapterTraining(model, tokenizer, adapter, rows, validation, settings, soft)

    log = _fit_in_rounds(job, training)
    save_file(peft_tensors(adapter), job.out / "adapter_model.safetensors")
    write_json(job.out / "lora_config.json", peft_config(adapter))
    if soft is not None:
        save_file(soft.projection.tensors(), job.out / PROJECTION)
    write_rows(job.out / "training_log.jsonl", [{"aligned": rows.aligned}, *log])


def optimiser_of(parameters: Mapping[str, Tensor]) -> MuonWithAdamW:
    """Muon for the matrices; AdamW for the biases of a projection."""
    matrices = {name: one for name, one in parameters.items() if one.ndim == 2}
    others = {name: one for name, one in parameters.items() if one.ndim != 2}
    return MuonWithAdamW(matrices, others)


def trainable_projection(job: Job, model: PreTrainedModel) -> TrainableProjection:
    """A fresh projection of what the packed encoders among the inputs give."""
    embedding = model.get_input_embeddings().weight.detach()
    return TrainableProjection(job.settings["reads"], open_intakes(job), embedding, job.seed)


def soft_prompts(
    job: Job, projection: TrainableProjection, rows: Sequence[Mapping[str, Any]]
) -> SoftPrompts:
    """What rows hold besides text, through a projection."""
    found = rows_with_paths(rows, job.inputs.get("media"))
    return SoftPrompts(projection, [row["parts"] for row in found])


def _fit_in_rounds(job: Job, training: AdapterTraining) -> list[dict[str, Any]]:
    """Train, judge on `validation`, and train on from there while it falls short.

    A round ends in its last state or in that of its best look, whichever retains more; the
    adapter ends as it was after the best of the rounds.
    """
    settings = training.settings
    log: list[dict[str, Any]] = []
    watch = Watch(job.conduct)
    best_retained, best = float("-inf"), training.state()
    for round_number in range(settings.retries + 1):
        steps = settings.steps if round_number == 0 else max(1, settings.steps // 2)
        run = Run(
            training.parameters,
            optimiser_of(training.parameters),
            Schedule(steps, settings.learning_rate / (1 + round_number), settings.warmup_steps),
            job.scratch / f"round-{round_number}.pt",
        )
        training.fit(run, job.seed + round_number, job.progress, watch, earlier=log)
        retained, verdict = judge(training, run)
        log += [{"round": round_number, **entry} for entry in [*run.log, *verdict]]
        if retained > best_retained:
            best_retained, best = retained, training.state()
        if retained >= settings.aim_fraction:
            break
    training.restore(best)
    return log


def judge(training: AdapterTraining, run: Run) -> tuple[float, list[dict[str, Any]]]:
    """What the better of last state and best look retains, and the log of both; leaves that one."""
    last, state = training.retained(), training.state()
    log: list[dict[str, Any]] = []
    assert run.best is not None
    if any(not torch.equal(state[name], value) for name, value in run.best[1].items()):
        training.restore(run.best[1])
        at_best = training.retained()
        log.append({"judged": "last state", "retained": told(last)})
        log.append({"judged": "best look", "retained": told(at_best)})
        # Of equals the one with the lower held-out loss.
        if at_best >= last:
            last = at_best
        else:
            training.restore(state)
    return last, [*log, {"validation_retained": told(last)}]


def validation_of(job: Job, settings: Settings) -> Validation:
    """The validation rows and the scores on them of the teacher that is best there."""
    metric = job.load("metric").METRIC
    rows = read_rows(job.inputs["validation"])
    of_teachers = [
        metric.score_rows(rows, read_rows(job.inputs[role]))
        for role in sorted(job.inputs)
        if role.startswith("baseline/")
    ]
    best = of_teachers[0]
    for scores in of_teachers[1:]:
        # A teacher that "retains" more than all of another is the better one, whatever the
        # metric's direction.
        if metric.retained(best, scores, metric.weights(rows)) > 1:
            best = scores
    description = Description.from_json(read_json(job.inputs["description"]))
    return Validation(rows, description, metric, best)


def planned_ranks(job: Job, model: PreTrainedModel) -> dict[str, int]:
    """Rank of every adapted weight: as planned for its block, the largest elsewhere."""
    plan = read_json(job.inputs["architecture"])
    ranks: dict[str, int] = {}
    for name in [*linear_names(model), embedding_name(model)]:
        layer = next((part for part in name.split(".") if part.isdigit()), None)
        ranks[name] = int(plan["ranks"].get(layer, plan["rank"]) if layer else plan["rank"])
    return ranks
