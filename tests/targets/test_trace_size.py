"""A trace takes a hundredth of the logits that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from nexusbuild.graph import Job
from specs.model import Trace
from targets.trace.shards import traced_rows
from targets.trace.work import build

FLOAT16_BYTES = 2


@pytest.mark.parametrize("vocabulary", [32_000, 70_000])
def test_a_trace_takes_a_hundredth_of_the_logits(
    vocabulary: int,
    tmp_path: Path,
    make_job: Callable[..., Job],
    datasets: dict[str, Path],
    student_tokenizer: Path,
) -> None:
    """All its files count: arrays, the rows' text, the description. The head is padded."""
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=vocabulary, num_attention_heads=2, **shape, **ends)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    kept = Trace().model_dump(mode="json")
    job = make_job(
        "trace:a/b",
        {"load": "fp32", "metric": None, "batch": 8, **kept},
        model=tmp_path,
        train=datasets["sums"] / "train.jsonl",
        description=datasets["sums"] / "dataset.json",
    )
    build(job)
    rows = list(traced_rows(job.out))
    tokens = sum(len(row.answer_ids) for row in rows)
    # What is measured is a trace: random weights name tokens of the whole vocabulary.
    assert len(rows) == 120 and rows[0].top_ids.shape[1] == Trace().top_k
    assert max(int(row.top_ids.max()) for row in rows) > 0.9 * vocabulary
    size = sum(file.stat().st_size for file in job.out.iterdir())
    assert 100 * size <= tokens * vocabulary * FLOAT16_BYTES
