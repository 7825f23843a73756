"""Training: the optimiser, the batches, the loop that survives being killed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.text.fresh_decoder import (
    Shape,
    Vocabulary,
    fresh_decoder,
    matrices_and_others,
)
from modalities.text.outputs import answer_log_probs, cross_entropy
from modalities.text.sequences import batch_rows, collate
from training.loop import Run, Schedule, train
from training.muon import MuonWithAdamW, learning_rate_at, orthogonalise

PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [5, 9]]
ANSWERS = [[20, 21, 0], [22, 0], [23, 24, 25, 0], [0]]


def small_model(family: str = "llama", seed: int = 3):
    module = import_module(f"modalities.text.families.{family}")
    config = module.decoder_config(Shape(32, 2, 4, 64), Vocabulary(48, end=0, padding=1))
    return fresh_decoder(config, seed)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 1 << 20))
@settings(max_examples=30, deadline=None)
def test_orthogonalised_has_singular_values_near_one(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(2, rows, columns, generator=generator)
    before = torch.linalg.svdvals(matrices)
    after = torch.linalg.svdvals(orthogonalise(matrices))
    # Directions that carry next to nothing take more than five iterations to grow.
    carried = before > 0.1 * before[:, :1]
    assert (after[carried] > 0.3).all() and (after < 1.4).all()


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate_at(step, 100, 0.02, 10) for step in range(100)]
    assert max(rates) == pytest.approx(0.02)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=80),
    batch=st.integers(1, 9),
    steps=st.integers(1, 30),
)
def test_every_step_has_a_full_batch_of_distinct_rows(
    lengths: list[int], batch: int, steps: int
) -> None:
    plan = batch_rows(lengths, batch, steps, seed=1)
    assert len(plan) == steps
    assert all(len(set(rows)) == len(rows) == min(batch, len(lengths)) for rows in plan)
    assert plan == batch_rows(lengths, batch, steps, seed=1)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "qwen3"])
def test_answer_log_probs_are_those_of_each_row_alone(family: str) -> None:
    model = small_model(family).eval()
    batch = collate(PROMPTS, ANSWERS, [0, 1, 2, 3])
    together = answer_log_probs(model, batch).gather(1, batch.labels[:, None])[:, 0]
    alone = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        ids = torch.tensor([[*prompt, *answer]])
        log_probs = model(ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
        alone.append(log_probs.gather(1, torch.tensor(answer)[:, None])[:, 0])
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def fitted(checkpoint: Path, stops: list[int]) -> dict[str, torch.Tensor]:
    """Train 12 steps, as a new process would go on after each stop."""
    plan = batch_rows([len(p) for p in PROMPTS], 2, 12, seed=4)
    for stop in [*stops, 12]:
        model = small_model()
        run = Run(
            dict(model.named_parameters()),
            MuonWithAdamW(*matrices_and_others(model)),
            Schedule(12, 0.02, 2),
            checkpoint,
        )
        run.resume()

        def loss_at(step: int, model=model) -> torch.Tensor:
            batch = collate(PROMPTS, ANSWERS, plan[step])
            return cross_entropy(answer_log_probs(model, batch), batch.labels)

        train(run, loss_at, lambda *_args, **_figures: None, until=stop)
        run.save()
    return {name: value.detach() for name, value in run.parameters.items()}


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole.pt", [])
    broken = fitted(tmp_path / "broken.pt", [3, 4, 9])
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_a_changed_byte(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    place = largest.header_offset + 200 + largest.file_size // 2
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize("harm", [cut_off, with_a_changed_byte, lambda content: b"", bytes.upper])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    whole = fitted(tmp_path / "whole.pt", [])
    checkpoint = tmp_path / "damaged.pt"
    fitted(checkpoint, [3, 4])
    checkpoint.write_bytes(harm(checkpoint.read_bytes()))
    with pytest.warns(UserWarning, match=r"damaged\.pt is damaged .*training starts again"):
        again = fitted(checkpoint, [])
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.arithmetic
def test_training_lowers_the_loss_of_its_rows(tmp_path: Path) -> None:
    model = small_model()
    before = cross_entropy(
        answer_log_probs(model, collate(PROMPTS, ANSWERS, [0, 1, 2, 3])),
        collate(PROMPTS, ANSWERS, [0, 1, 2, 3]).labels,
    )
    values = fitted(tmp_path / "run.pt", [])
    model.load_state_dict(values, strict=False)
    batch = collate(PROMPTS, ANSWERS, [0, 1, 2, 3])
    after = cross_entropy(answer_log_probs(model, batch), batch.labels)
    assert after < 0.8 * before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_training(tmp_path: Path, value: float) -> None:
    model = small_model()
    run = Run(
        dict(model.named_parameters()),
        MuonWithAdamW(*matrices_and_others(model)),
        Schedule(3, 0.02, 1),
        tmp_path / "run.pt",
    )
    weight = model.get_input_embeddings().weight
    with pytest.raises(ArithmeticError, match="not a number at step 0"):
        train(run, lambda _step: weight.sum() * 0 + value, lambda *_a, **_f: None)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 does not divide the width 32"):
        Shape(32, 2, 5, 64)
