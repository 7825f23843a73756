"""Train a small teacher from scratch on its capability's data: an ordinary Hugging Face model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from transformers import GenerationConfig

from targets.rows import read_json, read_rows, write_rows
from targets.teachers.encoding import encode_rows
from targets.tokenizer.training import trained_tokenizer
from targets.trained_teacher.settings import Settings
from targets.training.families import Shape, decoder_config, fresh_decoder, matrices_and_others
from targets.training.loop import Run, Schedule, train
from targets.training.muon import MuonWithAdamW
from targets.training.outputs import answer_log_probs
from targets.training.sequences import batch_rows, collate

if TYPE_CHECKING:
    from nexusbuild.graph import Job

WARMUP_STEPS = 20
# What a prompt's own words teach helps to read it: 0.71 -> 0.79 right after the same 500 steps.
PROMPT_WEIGHT = 0.2


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
    model = fresh_decoder(config, job.seed)
    run = Run(
        dict(model.named_parameters()),
        MuonWithAdamW(*matrices_and_others(model)),
        Schedule(settings.steps, settings.learning_rate, WARMUP_STEPS),
        job.scratch / "checkpoint.pt",
    )
    run.resume()
    lengths = [len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]
    plan = batch_rows(lengths, settings.batch, settings.steps, job.seed)

    # The first token is given; the rest of the prompt is learned too, at a low weight.
    firsts = [prompt[:1] for prompt in prompts]
    texts = [[*p[1:], *a] for p, a in zip(prompts, answers, strict=True)]
    prompt_lengths = torch.tensor([len(prompt) - 1 for prompt in prompts])

    def loss_at(step: int) -> torch.Tensor:
        batch = collate(firsts, texts, plan[step])
        in_prompt = batch.answer_index < prompt_lengths[batch.rows_of_answers]
        return text_loss(answer_log_probs(model, batch), batch.labels, in_prompt)

    train(run, loss_at, job.progress)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(job.out)
    tokenizer.save_pretrained(job.out)
    write_rows(job.out / "training_log.jsonl", run.log)


def text_loss(
    log_probs: torch.Tensor, labels: torch.Tensor, in_prompt: torch.Tensor
) -> torch.Tensor:
    """Negative log-likelihood per answer token, in nats; prompt tokens add PROMPT_WEIGHT of theirs.

    log_probs: (tokens, vocabulary); labels, in_prompt: (tokens,).
    """
    losses = functional.nll_loss(log_probs, labels, reduction="none")
    weights = torch.where(in_prompt, PROMPT_WEIGHT, 1.0)
    return (losses * weights).sum() / (~in_prompt).sum()
