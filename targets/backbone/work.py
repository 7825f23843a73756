"""Distil the backbone from the traces: a stock decoder that all adapters will stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.json_files import read_json, write_rows
from modalities.text.distillation_loss import distillation_loss
from modalities.text.fresh_decoder import (
    Shape,
    Vocabulary,
    fresh_decoder,
    matrices_and_others,
)
from modalities.text.outputs import answer_log_probs
from modalities.text.sequences import batch_rows, tokens_of_steps
from modalities.text.student_rows import student_rows
from modalities.text.trace_sources import trace_sources
from modalities.text.whole_text import WholeText
from nexus.configuration import FAMILIES
from opened_models.tokenizers import open_tokenizer
from targets.backbone.settings import Settings
from targets.teacher.known_weights import KnownWeights
from training.device import device_of_job
from training.loop import Run, Schedule, train
from training.muon import MuonWithAdamW
from training.watch import Watch

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

WARMUP_STEPS = 20


def build(job: Job) -> None:
    """Write `config.json`, `model.safetensors`, `generation_config.json`, `training_log.jsonl`."""
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    tokenizer = open_tokenizer(job.inputs["tokenizer"])
    device = device_of_job()
    rows = student_rows(
        trace_sources(job.inputs, open_tokenizer),
        tokenizer,
        job.scratch / "rows",
        lambda done: job.progress(0, settings.steps, note=f"rows laid out: {done}"),
    )
    model = initial_backbone(job, tokenizer).to(device)
    run = Run(
        dict(model.named_parameters()),
        MuonWithAdamW(*matrices_and_others(model)),
        Schedule(settings.steps, settings.learning_rate, WARMUP_STEPS),
        job.scratch / "checkpoint.pt",
    )
    run.resume()
    plan = batch_rows(rows.lengths, settings.batch, settings.steps, job.seed)

    texts = WholeText(rows.prompts, rows.answers, device)

    def loss_at(step: int) -> torch.Tensor:
        batch = texts.batch(plan[step])
        targets = rows.soft_targets(batch)
        batch, log_probs, prompt_loss = texts.parted(batch, answer_log_probs(model, batch))
        return distillation_loss(log_probs, batch.labels, targets, settings.kl_weight) + prompt_loss

    train(
        run,
        loss_at,
        job.progress,
        watch=Watch(job.conduct),
        tokens=tokens_of_steps(rows.lengths, plan),
    )
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(job.out)
    write_rows(job.out / "training_log.jsonl", [{"aligned": rows.aligned}, *run.log])


def refuse_teacher(job: Job, model: PreTrainedModel) -> None:
    """Raises ValueError where a weight of the model to start from is a teacher's: it would ship."""
    teachers = {
        role.removeprefix("tensors/"): read_json(path)
        for role, path in job.inputs.items()
        if role.startswith("tensors/")
    }
    known = KnownWeights(teachers)
    for name, tensor in model.state_dict().items():
        owner = known.owner(tensor)
        if owner is not None:
            teacher, original = owner
            raise ValueError(
                f"student.backbone.init is the teacher {teacher}, or was made of it: {name} is its "
                f"{original}, number for number. Start from a model that is no teacher, or from "
                "scratch"
            )


def initial_backbone(job: Job, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The backbone before distillation: drawn from the seed, or the small open model named."""
    if "init" in job.sources:
        model = AutoModelForCausalLM.from_pretrained(
            job.sources["init"],
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
        refuse_teacher(job, model)
        if model.config.model_type not in FAMILIES:
            raise ValueError(
                f"student.backbone.init is of the family {model.config.model_type}, which a bundle "
                f"cannot hold; start from one of {', '.join(sorted(FAMILIES))}, or from scratch"
            )
        untie(model)
        return model
    plan = read_json(job.inputs["architecture"] / "backbone.json")
    shape = Shape(
        plan["hidden_size"],
        plan["layers"],
        plan["heads"],
        plan["intermediate_size"],
        plan["kv_heads"],
    )
    family = job.load("family")
    return fresh_decoder(family.decoder_config(shape, Vocabulary.of(tokenizer)), job.seed)


def untie(model: PreTrainedModel) -> None:
    """Give the head a weight of its own, so that an adapter can change it alone."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(embedding.weight.detach().clone())
    model.config.tie_word_embeddings = False
