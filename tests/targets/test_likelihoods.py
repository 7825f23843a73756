"""Bits per byte on what `baseline` and `score` store, against the definition, token by token."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modalities.json_files import read_json, read_rows, write_rows
from nexus.adapters import load_adapter, merged
from nexus.packing import load_backbone
from nexusbuild.plugins import Job
from targets.baseline.work import build as build_baseline
from targets.commands.named_modules import named_metric
from targets.gate.work import build_capability
from targets.score.work import build as build_score

pytestmark = pytest.mark.arithmetic

ITEMS = 6


def bits_of_text(model: torch.nn.Module, tokenizer_folder: Path, rows: list[dict]) -> float:  # type: ignore[type-arg]
    """Bits of all references and their ends, over their bytes: one forward pass a row."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    bits, size = 0.0, 0
    for row in rows:
        prompt = tokenizer(row["prompt"] + "\n").input_ids
        answer = [*tokenizer(row["answer"]).input_ids, tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].double()
        log_probs = logits.log_softmax(-1)
        for place, token in enumerate(answer, start=len(prompt)):
            bits -= float(log_probs[place - 1, token]) / math.log(2)
        size += len(row["answer"].encode())
    return bits / size


def test_teacher_and_student_are_judged_on_their_likelihoods(
    make_job: Callable[..., Job],
    student_backbone: Path,
    student_tokenizer: Path,
    packed_backbones: dict[str, Path],
    packed_adapters: dict[str, Path],
    datasets: dict[str, Path],
    tmp_path: Path,
) -> None:
    rows = read_rows(datasets["sums"] / "eval.jsonl")[:ITEMS]
    write_rows(tmp_path / "eval.jsonl", rows)
    data = {"eval": tmp_path / "eval.jsonl", "description": datasets["sums"] / "dataset.json"}
    model = tmp_path / "teacher"
    model.mkdir()
    for folder in (student_backbone, student_tokenizer):
        for file in folder.iterdir():
            (model / file.name).symlink_to(file)
    data_of_teacher = {**data, "validation": data["eval"], "model": model}
    teacher = make_job("baseline:scholar/sums", {"load": "fp32"}, inputs=data_of_teacher)
    build_baseline(teacher)
    packed = {"backbone": packed_backbones["int8"], "adapter": packed_adapters["sums"]}
    student = make_job("score:sums", {}, tokenizer=student_tokenizer, **packed, **data)
    build_score(student)

    expected_of_teacher = bits_of_text(
        AutoModelForCausalLM.from_pretrained(student_backbone), student_tokenizer, rows
    )
    folder = packed_adapters["sums"]
    adapter = load_adapter(folder / "sums_adapter.safetensors", folder / "sums_adapter.json")
    backbone = load_backbone(packed_backbones["int8"])
    with merged(backbone, adapter):
        expected_of_student = bits_of_text(backbone, student_tokenizer, rows)

    metric = named_metric("bits_per_byte")
    for job, expected in ((teacher, expected_of_teacher), (student, expected_of_student)):
        scores = metric.score_rows(rows, read_rows(job.out / "eval.jsonl"))
        assert metric.aggregate(scores, metric.weights(rows)) == pytest.approx(expected, rel=1e-4)

    settings = {"metric": "bits_per_byte", "retain_fraction": 0.5}
    inputs = {"score": student.out, "eval": data["eval"]}
    inputs["baseline/scholar"] = teacher.out / "eval.jsonl"
    gate = make_job("gate:sums", settings, inputs=inputs)
    if expected_of_teacher >= 8:  # worse than finding every byte alike: an untrained teacher may be
        with pytest.raises(ValueError, match="nothing to retain"):
            build_capability(gate)
        return
    build_capability(gate)
    verdict = read_json(gate.out / "verdict.json")
    retained = expected_of_teacher / expected_of_student
    assert verdict["retained"] == pytest.approx(retained, rel=1e-4)
    assert verdict["higher_is_better"] is False
