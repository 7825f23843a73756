"""A T5-like teacher goes through every kind that opens a teacher, with its own likelihoods."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from modalities.text.shards import traced_rows
from nexusbuild.plugins import Job
from targets.baseline.work import build as build_baseline
from targets.profile.work import build as build_profile
from targets.teacher.work import build as build_teacher
from targets.trace.work import build as build_trace

END, START = 1, 0
NEW = 6


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, student_tokenizer: Path) -> Path:
    """A folder as `save_pretrained` leaves it; weights that make answers differ."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("t5")
    words = AutoTokenizer.from_pretrained(student_tokenizer)
    torch.manual_seed(5)
    config = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_ff=48,
        d_kv=8,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        decoder_start_token_id=START,
        pad_token_id=0,
        eos_token_id=END,
        tie_word_embeddings=False,
    )
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(datasets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few rows, short answers."""
    folder = tmp_path_factory.mktemp("rows")
    for split, count in (("train", 12), ("validation", 6), ("eval", 6)):
        lines = (datasets["sums"] / f"{split}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_text("".join(lines[:count]))
    stop = {"strings": [], "max_new_tokens": NEW}
    description = {"template": "{prompt}\n", "stop": stop}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_record_of_a_teacher_names_its_shape(
    teacher: Path, make_job: Callable[..., Job]
) -> None:
    job = make_job("teacher:pair", {"licence": "MIT", "load": "fp32"}, model=teacher)
    build_teacher(job)
    record = json.loads((job.out / "teacher.json").read_text())
    assert record["architecture"] == "T5ForConditionalGeneration"
    assert (record["hidden_size"], record["heads"]) == (32, 4)
    assert (job.out / "tokenizer" / "tokenizer.json").is_file()


def test_baseline_profile_and_trace_see_the_same_teacher(
    teacher: Path, data: Path, make_job: Callable[..., Job]
) -> None:
    from transformers import AutoTokenizer

    description = data / "dataset.json"
    base = make_job(
        "baseline:pair/sums",
        {"load": "fp32"},
        model=teacher,
        validation=data / "validation.jsonl",
        eval=data / "eval.jsonl",
        description=description,
    )
    build_baseline(base)

    model = T5ForConditionalGeneration.from_pretrained(teacher).eval()
    words = AutoTokenizer.from_pretrained(teacher)

    def log_prob(row: dict[str, object]) -> torch.Tensor:
        source = torch.tensor([words(f"{row['prompt']}\n").input_ids])
        answer = [*words(row["answer"], add_special_tokens=False).input_ids, END]
        labels = torch.tensor([answer])
        with torch.no_grad():
            logits = model(input_ids=source, labels=labels).logits[0].log_softmax(-1)
        return logits.gather(1, labels[0][:, None])[:, 0]

    def greedy(source: torch.Tensor) -> list[int]:
        """Anew at every step, without a cache."""
        ids = [START]
        while len(ids) <= NEW and (len(ids) == 1 or ids[-1] != END):
            given = {"decoder_input_ids": torch.tensor([ids]), "use_cache": False}
            with torch.no_grad():
                ids.append(int(model(input_ids=source, **given).logits[0, -1].argmax()))
        return ids[1:]

    for row, answered in zip(read(data / "eval.jsonl"), read(base.out / "eval.jsonl"), strict=True):
        source = torch.tensor([words(f"{row['prompt']}\n").input_ids])
        assert answered["answer"] == words.decode(greedy(source), skip_special_tokens=True)
        assert answered["log_prob"] == pytest.approx(float(log_prob(row).sum()), rel=1e-4)

    profile = make_job(
        "profile:pair/sums",
        {
            "load": "fp32",
            "metric": "token_f1",
            "samples": 8,
            "pilot_samples": 4,
            "explained_variance": 0.97,
            "max_metric_fall": 0.01,
            "key_layer_drop": 0.1,
        },
        model=teacher,
        pilot=data / "train.jsonl",
        description=description,
    )
    build_profile(profile)
    summary = json.loads((profile.out / "profile.json").read_text())
    assert [tower["layers"] for tower in summary["towers"]] == [2, 3]

    trace = make_job(
        "trace:pair/sums",
        {"load": "fp32", "top_k": 4, "answers": "dataset", "metric": None, "coefficient_rows": 3},
        model=teacher,
        train=data / "train.jsonl",
        description=description,
        profile=profile.out,
    )
    build_trace(trace)
    about = json.loads((trace.out / "trace.json").read_text())
    assert about["depth"] == summary["num_layers"] == 5
    layers = [layer for layer in summary["key_layers"] if layer >= 2]
    anchored = {f"{kind}/{layer}" for kind in ("activation", "attention") for layer in layers}
    for place, traced in enumerate(traced_rows(trace.out)):
        expected = log_prob(traced.row).numpy()
        assert np.allclose(traced.token_log_probs, expected, atol=0.02)
        mass = np.exp(traced.top_log_probs.astype(np.float64)).sum(axis=1)
        assert np.allclose(mass + np.exp(traced.tail_log_probs.astype(np.float64)), 1, atol=0.01)
        assert set(traced.coefficients) == (anchored if place < 3 else set())


def test_a_teacher_that_answers_nothing_has_no_baseline(
    tmp_path: Path, data: Path, make_job: Callable[..., Job]
) -> None:
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=30, num_hidden_layers=1, **shape)).save_pretrained(tmp_path)
    job = make_job(
        "baseline:eye/sums",
        {"load": "fp32"},
        model=tmp_path,
        validation=data / "validation.jsonl",
        eval=data / "eval.jsonl",
        description=data / "dataset.json",
    )
    with pytest.raises(ValueError, match=r"a BertModel, answers nothing in text.*can be profiled"):
        build_baseline(job)
