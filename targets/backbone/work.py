"""Distil the backbone from the traces: a stock decoder that all adapters will stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from nexus.configuration import FAMILIES
from targets.backbone.settings import Settings
from targets.rows import read_json, write_rows
from targets.teacher.known_weights import KnownWeights
from targets.teachers.tokenizers import open_tokenizer
from targets.training.device import device_of_job
from targets.training.distillation import distillation_loss, student_rows, trace_sources
from targets.training.families import Shape, decoder_config, fresh_decoder, matrices_and_others
from targets.training.loop import Run, Schedule, train
from targets.training.muon import MuonWithAdamW
from targets.training.outputs import answer_log_probs
from targets.training.sequences import batch_rows, tokens_of_steps
from targets.training.watch import Watch
from targets.training.whole_text import WholeText

if TYPE_CHECKING:
    from nexusbuild.graph import Job

WARMUP_STEPS = 20


def build(job: Job) -> None:
    """Write `config.json`, `model.safetensors`, `generation_config.json`, `training_log.jsonl`."""
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    tokenizer = open_tokenizer(job.inputs["tokenizer"])
    device = device_of_job()
    rows = student_rows(trace_sources(job.inputs, open_tokenizer), tokenizer).to(device)
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
        batch, log_probs, prompt_loss = texts.parted(batch, answer_log_probs(model, batch))
        return distillation_loss(log_probs, batch, rows, settings.kl_weight) + prompt_loss

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
        plan["family"],
        plan["hidden_size"],
        plan["layers"],
        plan["heads"],
        plan["intermediate_size"],
        plan["kv_heads"],
    )
    config = decoder_config(
        shape, len(tokenizer), int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    )
    return fresh_decoder(config, job.seed)


def untie(model: PreTrainedModel) -> None:
    """Give the head a weight of its own, so that an adapter can change it alone."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(embedding.weight.detach().clone())
    model.config.tie_word_embeddings = False
