"""A tiny teacher that one block carries, and the job that profiles it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nexus.decoding import greedy_decode
from nexusbuild.plugins import Job, Progress
from targets.profile.work import build

WORDS = 46
WIDTH = 32


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "<unk>": 1, "<eos>": 2}
    vocabulary |= {f"w{index}": index + 3 for index in range(WORDS)}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def planted_teacher(folder: Path) -> Path:
    """A teacher that only block 2 carries, and rows whose answers are its own."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=WORDS + 3,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.5)
    for index in (0, 1, 3):
        model.model.layers[index].mlp.down_proj.weight.zero_()
        model.model.layers[index].self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder / "teacher")
    words = tokenizer()
    words.save_pretrained(folder / "teacher")

    prompts = [
        " ".join(f"w{(5 * i + 7 * j * (i % 6 + 1)) % WORDS}" for j in range(4 + i % 5))
        for i in range(70)
    ]
    answers = greedy_decode(
        model, [words(p).input_ids for p in prompts], max_new_tokens=8, eos_token_id=2
    )
    rows = [
        {"id": f"{i:016x}", "prompt": prompt, "answer": words.decode(answer)}
        for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    (folder / "pilot.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    description = {"template": "{prompt} ", "stop": {"strings": [], "max_new_tokens": 8}}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def no_progress(done: float, total: float, **figures: float | str) -> None:
    """Progress that nobody watches."""


def profile_job(
    folder: Path, out: Path, progress: Progress = no_progress, **settings: object
) -> Job:
    """A job on what `planted_teacher` made; its scratch lies next to `out`."""
    scratch = out.with_suffix(".scratch")
    for place in (out, scratch):
        place.mkdir(exist_ok=True)
    return Job(
        target="profile:planted/echo",
        settings={
            "load": "fp32",
            "metric": "exact_match",
            "samples": 40,
            "pilot_samples": 10,
            "explained_variance": 0.97,
            "max_metric_fall": 0.01,
            "key_layer_drop": 0.1,
            "seed": 42,
            **settings,
        },
        inputs={
            "pilot": folder / "pilot.jsonl",
            "description": folder / "dataset.json",
            "model": folder / "teacher",
        },
        code={
            "reading": "modalities.text.reading",
            "metric": f"modalities.text.metrics.{settings.get('metric', 'exact_match')}",
        },
        sources={},
        out=out,
        scratch=scratch,
        seed=7,
        threads=1,
        progress=progress,
    )


def profile(folder: Path, out: Path, **settings: object) -> dict[str, object]:
    """The summary of a profile made in `out`."""
    build(profile_job(folder, out, **settings))
    return json.loads((out / "profile.json").read_text())
