"""Adapters: low-rank updates in folded form, anchors, roll-back, and what PEFT makes of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoTokenizer

from modalities.json_files import read_json, read_rows
from modalities.text.alignment import Soft
from modalities.text.answers import Description
from modalities.text.distillation_loss import distillation_loss
from modalities.text.encoding import encode_row
from modalities.text.outputs import answer_log_probs
from modalities.text.row_writing import RowsWriter
from modalities.text.sequences import collate
from modalities.text.student_rows import StudentRows, open_student_rows
from nexus.packing import load_backbone
from targets.adapter.anchors import Anchors
from targets.adapter.low_rank import (
    embedding_name,
    fresh_low_rank,
    linear_names,
    peft_config,
    peft_tensors,
)
from targets.adapter.settings import Settings
from targets.adapter.training import AdapterTraining, Validation
from targets.commands.named_modules import named_metric
from training.loop import Run, Schedule
from training.muon import MuonWithAdamW

SETTINGS = {
    "metric": "exact_match",
    "steps": 24,
    "batch": 8,
    "learning_rate": 0.01,
    "warmup_steps": 4,
    "kl_weight": 0.5,
    "activation_anchor": 0.0,
    "attention_anchor": 0.0,
    "validate_every": 8,
    "recovery_steps": 6,
    "retries": 0,
    "aim_fraction": 1.0,
}


@pytest.fixture
def student(packed_backbones: dict[str, Path]):
    return load_backbone(packed_backbones["int8"])


@pytest.fixture
def tokenizer(student_tokenizer: Path):
    return AutoTokenizer.from_pretrained(student_tokenizer)


def rows_of(
    dataset: Path,
    tokenizer: Any,
    coefficients: Mapping[str, torch.Tensor] | None = None,
    teacher_of: Callable[[int], int] = lambda _row: 0,
    k: int = 4,
) -> StudentRows:
    """Rows whose soft targets put nine tenths on the answer and the rest in the tail.

    coefficients: by kind and key layer those of the first rows' answer tokens, (tokens, width).
    """
    with TemporaryDirectory() as folder:
        with RowsWriter(Path(folder) / "rows", len(tokenizer), k) as writer:
            start = 0
            for number, row in enumerate(read_rows(dataset / "train.jsonl")):
                encoded = encode_row(tokenizer, "{prompt}\n", row["prompt"], row["answer"])
                answer = encoded.answer_ids
                end = start + len(answer)
                ids = np.full((len(answer), k), -1, dtype=np.int32)
                ids[:, 0] = answer
                probs = np.where(ids >= 0, np.float32(0.9), np.float32(0))
                known, positions = np.ones(len(answer), dtype=bool), np.arange(len(answer))
                of_row = {
                    name: values[start:end].numpy()
                    for name, values in (coefficients or {}).items()
                    if end <= len(values)
                }
                soft = Soft(ids, probs, known, positions)
                teacher = teacher_of(number)
                writer.append(encoded.prompt_ids, answer, soft, of_row, teacher, depth=2)
                start = end
        return open_student_rows(Path(folder) / "rows")


def all_ranks(model: Any, rank: int = 8) -> dict[str, int]:
    return dict.fromkeys([*linear_names(model), embedding_name(model)], rank)


def training_of(student: Any, tokenizer: Any, dataset: Path, **changes: Any):
    settings = Settings.from_json(SETTINGS | changes)
    adapter = fresh_low_rank(student, all_ranks(student), seed=1)
    rows = read_rows(dataset / "validation.jsonl")
    description = Description.from_json(read_json(dataset / "dataset.json"))
    validation = Validation(rows, description, named_metric(settings.metric), [1.0] * len(rows))
    training = AdapterTraining(
        student, tokenizer, adapter, rows_of(dataset, tokenizer), validation, settings
    )
    return adapter, training


def run_of(training: AdapterTraining, folder: Path, steps: int = 24, rate: float = 0.01) -> Run:
    return Run(
        training.parameters,
        MuonWithAdamW(training.parameters, {}),
        Schedule(steps, rate, 4),
        folder / "run.pt",
    )


def silent(*_args: Any, **_figures: Any) -> None:
    """Progress that nobody watches."""


def test_an_untrained_adapter_changes_nothing(student) -> None:
    adapter = fresh_low_rank(student, all_ranks(student), seed=1)
    base = dict(student.named_parameters())
    assert all(torch.equal(weight, base[name]) for name, weight in adapter.weights(base).items())


@pytest.mark.arithmetic
def test_peft_computes_what_was_trained(student) -> None:
    adapter = fresh_low_rank(student, all_ranks(student), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for matrix in adapter.b.values():
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * 0.1)
    batch = collate([[5, 6, 7]], [[8, 9, 1]], [0])
    base = {name: p.detach().clone() for name, p in student.named_parameters()}
    ours = answer_log_probs(student, batch, adapter.weights(base))

    model = get_peft_model(student, LoraConfig(**peft_config(adapter)))
    set_peft_model_state_dict(model, peft_tensors(adapter))
    logits = model(input_ids=batch.input_ids).logits[0, batch.where[:, 1]]
    torch.testing.assert_close(ours, logits.log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.arithmetic
def test_training_lowers_the_held_out_loss(student, tokenizer, datasets, tmp_path) -> None:
    _, training = training_of(student, tokenizer, datasets["sums"])
    before = training.held_out_loss()
    run = run_of(training, tmp_path)
    training.fit(run, seed=1, progress=silent)
    assert training.held_out_loss() < 0.9 * before
    assert [entry["step"] for entry in run.log if "validation_loss" in entry] == [0, 8, 16, 24]


class KilledError(Exception):
    """Stands for a process that ends without warning."""


def test_training_that_was_killed_ends_in_the_same_bytes(
    packed_backbones, tokenizer, datasets, tmp_path
) -> None:
    def finals(folder: Path, kills: list[int]) -> dict[str, torch.Tensor]:
        folder.mkdir()
        for kill in [*kills, None]:
            student = load_backbone(packed_backbones["int8"])
            adapter, training = training_of(student, tokenizer, datasets["sums"])
            run = run_of(training, folder)

            def progress(done, _total, run=run, kill=kill, **_figures) -> None:
                if kill is not None and done == kill:
                    run.save()
                    raise KilledError

            try:
                training.fit(run, seed=1, progress=progress)
            except KilledError:
                continue
        return {name: p.detach() for name, p in adapter.parameters.items()}

    whole = finals(tmp_path / "whole", [])
    broken = finals(tmp_path / "broken", [5, 8, 19])
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_validation_leaves_the_backbone_as_it_was(student, tokenizer, datasets) -> None:
    _, training = training_of(student, tokenizer, datasets["sums"])
    before = {name: p.clone() for name, p in student.named_parameters()}
    scores = training.validation_scores()
    assert len(scores) == 40 and set(scores) <= {0.0, 1.0}
    assert all(torch.equal(p, before[name]) for name, p in student.named_parameters())


@pytest.mark.arithmetic
@pytest.mark.parametrize("kind", ["activation", "attention"])
def test_anchors_start_at_the_ridge_solution_and_pull(
    student, tokenizer, datasets, kind: str
) -> None:
    rows = rows_of(datasets["sums"], tokenizer)
    # A teacher whose coefficients are a linear picture of what the student itself does.
    batch = collate(rows.prompts, rows.answers, list(range(16)))
    block = student.model.layers[0]
    seen = []
    handle = block.self_attn.o_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    hidden = student(input_ids=batch.input_ids, output_hidden_states=True).hidden_states[1]
    handle.remove()
    states = (hidden if kind == "activation" else seen[0])[batch.where[:, 0], batch.where[:, 1]]
    generator = torch.Generator().manual_seed(0)
    values = states @ torch.randn(states.shape[1], 3, generator=generator)
    values = (values - values.mean(dim=0)) / values.std(dim=0)
    rows = rows_of(datasets["sums"], tokenizer, {f"{kind}/0": values.detach()})
    anchors = Anchors(student, rows, {kind: 2.0})
    with anchors.watching():
        answer_log_probs(student, batch)
    begun = anchors.penalty(batch).item()
    assert begun < 0.2  # of 2, for a weight of 2
    adapter = fresh_low_rank(student, all_ranks(student), seed=1)
    base = dict(student.named_parameters())
    with torch.no_grad():
        for matrix in adapter.b.values():
            matrix.fill_(0.05)
    with anchors.watching():
        answer_log_probs(student, batch, adapter.weights(base))
    moved = anchors.penalty(batch)
    assert moved.item() > 1.5 * begun
    moved.backward()
    reached = "layers.0" if kind == "activation" else "layers.0.self_attn.v_proj"
    assert all(a.grad is not None for name, a in adapter.a.items() if reached in name)


@pytest.mark.arithmetic
def test_anchors_are_looked_at_on_rows_that_training_leaves_out(
    student, tokenizer, datasets
) -> None:
    """Held rows have coefficients, and their part of the loss is told by anchor."""
    rows = rows_of(datasets["sums"], tokenizer)
    tokens = int(rows.targets.starts[40])
    values = torch.randn(tokens, 3, generator=torch.Generator().manual_seed(0))
    anchored = {f"{kind}/1": values for kind in ("activation", "attention")}
    rows = rows_of(datasets["sums"], tokenizer, anchored)
    anchors = Anchors(student, rows, {"attention": 1.0})
    assert anchors.held_rows == list(range(32, 40))
    # What is noise is not predicted: the maps know nothing of rows that they were not fitted on.
    figures = anchors.held_deviations(student, {})
    assert set(figures) == {"attention/0.1"} and figures["attention/0.1"] > 0.9
    batch = collate(rows.prompts, rows.answers, list(range(32)))
    with anchors.watching():
        answer_log_probs(student, batch)
    assert anchors.deviations(batch)["attention/0.1"].item() < figures["attention/0.1"]


@pytest.mark.arithmetic
def test_a_teacher_that_has_held_rows_alone_anchors_nothing(student, tokenizer, datasets) -> None:
    """Its answers were better on the last rows only, and those are looked at, not learned from."""
    rows = rows_of(datasets["sums"], tokenizer)
    values = torch.ones(int(rows.targets.starts[40]), 3)
    rows = rows_of(datasets["sums"], tokenizer, {"activation/1": values}, lambda row: row // 39)
    assert set(rows.coefficients) == {"activation/0.1", "activation/1.1"}
    anchors = Anchors(student, rows, {"activation": 1.0})
    assert anchors.held_rows[-1] == 39 and set(anchors.maps) == {"activation/0.1"}
    figures = anchors.held_deviations(student, {})
    assert set(figures) == {"activation/0.1"} and figures["activation/0.1"] < 1


def test_training_without_a_coefficient_says_that_it_has_no_anchors(
    student, tokenizer, datasets
) -> None:
    with pytest.warns(UserWarning, match="training goes without anchors"):
        _, training = training_of(student, tokenizer, datasets["sums"], activation_anchor=0.3)
    assert training.anchors is None


def test_without_divergence_only_the_answers_count(student, tokenizer, datasets) -> None:
    rows = rows_of(datasets["sums"], tokenizer)
    batch = collate(rows.prompts, rows.answers, [0, 1, 2])
    log_probs = answer_log_probs(student, batch)
    plain = distillation_loss(log_probs, batch.labels, rows.soft_targets(batch), 0.0)
    mixed = distillation_loss(log_probs, batch.labels, rows.soft_targets(batch), 0.5)
    expected = torch.nn.functional.nll_loss(log_probs, batch.labels)
    assert torch.equal(plain, expected) and not torch.equal(mixed, plain)


def test_ten_kills_end_in_the_same_bytes(
    student, tokenizer, datasets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 at random moments of training, within recoveries and after roll-backs, too."""
    monkeypatch.setattr("training.loop.CHECKPOINT_SECONDS", 0.0)  # one after every step
    monkeypatch.setattr("targets.adapter.recovery.LOSS_ABOVE", 0.1)  # no look is good enough
    dataset = datasets["sums"]

    def life(folder: Path, result: Path) -> list[dict[str, Any]]:
        adapter, training = training_of(student, tokenizer, dataset)
        run = run_of(training, folder, steps=16)
        training.fit(run, 3, silent)
        save_file({name: value.detach() for name, value in adapter.parameters.items()}, result)
        return run.log

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    began = time.monotonic()
    log = life(whole, tmp_path / "whole.safetensors")
    seconds = time.monotonic() - began
    assert {"recovery", "rolled back"} <= {entry.get("event") for entry in log}

    random, kills = Random(5), 0
    result = tmp_path / "broken.safetensors"
    while kills < 10 and not result.exists():
        child = os.fork()
        if child == 0:
            status = 1
            try:
                life(broken, result)
                status = 0
            finally:
                os._exit(status)
        time.sleep(random.uniform(0.05, 0.2) * seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    assert kills > 3
    if not result.exists():
        life(broken, result)
    assert result.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
