"""Train a small teacher from scratch on its capability's data: an ordinary Hugging Face model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig

from modalities.json_files import read_json, read_rows, write_rows
from modalities.text.encoding import encode_rows
from modalities.text.families import Shape, decoder_config, fresh_decoder, matrices_and_others
from modalities.text.outputs import answer_log_probs, cross_entropy
from modalities.text.sequences import batch_rows, tokens_of_steps
from modalities.text.whole_text import WholeText
from targets.tokenizer.training import trained_tokenizer
from targets.trained_teacher.settings import Settings
from training.device import device_of_job
from training.loop import Run, Schedule, train
from training.muon import MuonWithAdamW
from training.watch import Watch

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

WARMUP_STEPS = 20


def build(job: Job) -> None:
    """Write configuration, weights, tokenizer and `training_log.jsonl` of the teacher."""
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    rows = read_rows(job.inputs["train"])
    template = read_json(job.inputs["description"])["template"]
    texts = (text for row in rows for text in (row["prompt"], row["answer"]))
    tokenizer = trained_tokenizer(texts, settings.tokenizer_kind, settings.tokenizer_vocab)
    encoded = encode_rows(tokenizer, template, [(row["prompt"], row["answer"]) for row in rows])
    prompts = [row.prompt_ids for row in encoded]
    answers = [row.answer_ids for row in encoded]

    shape = Shape(
        settings.family, settings.hidden, settings.layers, settings.heads, settings.intermediate
    )
    config = decoder_config(shape, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    device = device_of_job()
    model = fresh_decoder(config, job.seed).to(device)
    run = Run(
        dict(model.named_parameters()),
        MuonWithAdamW(*matrices_and_others(model)),
        Schedule(settings.steps, settings.learning_rate, WARMUP_STEPS),
        job.scratch / "checkpoint.pt",
    )
    run.resume()
    lengths = [len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]
    plan = batch_rows(lengths, settings.batch, settings.steps, job.seed)

    whole = WholeText(prompts, answers, device)

    def loss_at(step: int) -> torch.Tensor:
        batch = whole.batch(plan[step])
        batch, log_probs, prompt_loss = whole.parted(batch, answer_log_probs(model, batch))
        return cross_entropy(log_probs, batch.labels) + prompt_loss

    train(
        run,
        loss_at,
        job.progress,
        watch=Watch(job.conduct),
        tokens=tokens_of_steps(lengths, plan),
    )
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(job.out)
    tokenizer.save_pretrained(job.out)
    write_rows(job.out / "training_log.jsonl", run.log)
