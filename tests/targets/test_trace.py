"""A trace takes a hundredth of the logits that it stands for, on disk and while it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modalities.text.likelihoods import teacher_log_probs
from modalities.text.shards import traced_rows
from nexusbuild.plugins import Job
from specs.capabilities import Trace
from targets.trace.work import build

FLOAT16_BYTES = 2


def job_of(
    vocabulary: int,
    folder: Path,
    make_job: Callable[..., Job],
    data: Path,
    tokenizer_folder: Path,
    **settings: object,
) -> Job:
    """The job of a trace of `train` by a tiny teacher whose head is padded to `vocabulary`."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=vocabulary, num_attention_heads=2, **shape, **ends)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kept = Trace().model_dump(mode="json")
    return make_job(
        "trace:a/b",
        {"load": "fp32", "metric": None, **kept, **settings},
        model=folder,
        train=data / "train.jsonl",
        description=data / "dataset.json",
    )


def traced_by(vocabulary: int, *made: Any) -> Job:
    """The same, done."""
    job = job_of(vocabulary, *made)
    build(job)
    return job


@pytest.mark.parametrize("vocabulary", [32_000, 70_000])
def test_a_trace_takes_a_hundredth_of_the_logits(
    vocabulary: int,
    tmp_path: Path,
    make_job: Callable[..., Job],
    datasets: dict[str, Path],
    student_tokenizer: Path,
) -> None:
    """All its files count: arrays, the rows' text, the description. The head is padded."""
    job = traced_by(vocabulary, tmp_path, make_job, datasets["sums"], student_tokenizer)
    rows = list(traced_rows(job.out))
    tokens = sum(len(row.answer_ids) for row in rows)
    # What is measured is a trace: random weights name tokens of the whole vocabulary.
    assert len(rows) == 120 and rows[0].top_ids.shape[1] == Trace().top_k
    assert max(int(row.top_ids.max()) for row in rows) > 0.9 * vocabulary
    size = sum(file.stat().st_size for file in job.out.iterdir())
    assert 100 * size <= tokens * vocabulary * FLOAT16_BYTES


def test_no_batch_has_more_logits_than_there_is_room_for(
    tmp_path: Path,
    make_job: Callable[..., Job],
    datasets: dict[str, Path],
    student_tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = (make_job, datasets["sums"], student_tokenizer)
    whole = list(traced_rows(traced_by(320, tmp_path / "whole", *made).out))
    seen: list[int] = []

    def watched(model, rows, batch):  # type: ignore[no-untyped-def]
        log_probs = teacher_log_probs(model, rows, batch)
        seen.append(log_probs.numel() * log_probs.element_size())
        return log_probs

    room = 100 * 320 * 4  # a hundred answer tokens; rows have about twenty
    monkeypatch.setattr("targets.trace.work.LOGITS_BYTES", room)
    monkeypatch.setattr("targets.trace.work.teacher_log_probs", watched)
    parts = list(traced_rows(traced_by(320, tmp_path / "parts", *made).out))
    assert len(seen) > len(parts) / 32 + 1 and 0.5 * room < max(seen) <= room
    for one, other in zip(whole, parts, strict=True):
        assert one.row["id"] == other.row["id"]
        np.testing.assert_allclose(one.top_log_probs, other.top_log_probs, atol=0.01)
        np.testing.assert_allclose(one.tail_log_probs, other.tail_log_probs, atol=0.01)


def test_what_is_outside_the_k_is_kept_and_nothing_is_renormalised(
    tmp_path: Path,
    make_job: Callable[..., Job],
    datasets: dict[str, Path],
    student_tokenizer: Path,
) -> None:
    job = job_of(320, tmp_path, make_job, datasets["sums"], student_tokenizer, top_k=5)
    build(job)
    model = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    template = json.loads((datasets["sums"] / "dataset.json").read_text("utf-8"))["template"]
    for row in list(traced_rows(job.out))[:10]:
        prompt = tokenizer(template.replace("{prompt}", row.row["prompt"])).input_ids
        ids = torch.tensor([[*prompt, *row.answer_ids.tolist()]])
        with torch.no_grad():
            logits = model(ids).logits[0, len(prompt) - 1 : -1].double()
        probs = logits.softmax(dim=-1)
        top = probs.topk(5).values.numpy()
        np.testing.assert_allclose(np.exp(row.top_log_probs.astype(float)), top, rtol=4e-3)
        tail = np.exp(row.tail_log_probs.astype(float))
        np.testing.assert_allclose(tail, 1 - top.sum(axis=1), rtol=4e-3)
        of_row = probs.log().gather(1, torch.tensor(row.answer_ids.tolist())[:, None])
        assert row.row["log_prob"] == pytest.approx(float(of_row.sum()), rel=2e-3)


@pytest.mark.parametrize(
    "answers, dies_after, goes_on_to",
    [
        ("dataset", 60, 82),  # in the second shard of 50 rows, which is traced 32 rows at a time
        ("teacher", 60, 82),  # in the first, when all its rows are answered and some are traced
        ("teacher", 110, 150),  # in the second, when 32 of its rows are answered
    ],
)
def test_a_trace_that_was_killed_goes_on_whatever_the_order_of_its_rows(
    answers: str,
    dies_after: int,
    goes_on_to: int,
    tmp_path: Path,
    make_job: Callable[..., Job],
    datasets: dict[str, Path],
    student_tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("targets.trace.work.SHARD_ROWS", 50)
    drawn = {"answers": answers, "temperature": 0.7}
    made = (320, tmp_path / "model", make_job, datasets["sums"], student_tokenizer)
    whole, killed = job_of(*made, **drawn), job_of(*made, **drawn)
    build(whole)
    lines = (datasets["sums"] / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    seen: list[float] = []

    def dies(done: float, total: float, **figures: object) -> None:
        seen.append(done)
        if done > dies_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(replace(killed, progress=dies))
    assert list(killed.out.iterdir()) == []
    seen.clear()
    inputs = {**killed.inputs, "train": tmp_path / "train.jsonl"}
    build(replace(killed, inputs=inputs, progress=lambda done, *_, **__: seen.append(done)))
    assert min(seen) == goes_on_to and seen == sorted(seen)
    names = {file.name for file in whole.out.iterdir()}
    assert len(names) == 2 * 3 + 1 and names == {file.name for file in killed.out.iterdir()}
    for name in names:
        assert (killed.out / name).read_bytes() == (whole.out / name).read_bytes(), name
