"""Coefficients that a trace keeps: of the stream, and of what important heads add to it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.json_files import write_json
from modalities.text.fresh_decoder import Shape, Vocabulary, fresh_decoder
from modalities.text.outputs import answer_log_probs
from modalities.text.sequences import collate
from opened_models.structure import find_structure
from targets.trace.coefficients import coefficient_reader, important_heads

BATCH = collate([[5, 6, 7], [8, 9]], [[20, 21, 0], [22, 0]], [0, 1])


def test_important_heads_hold_four_fifths() -> None:
    assert important_heads([0.1, 0.5, 0.0, 0.4]) == [1, 3]
    assert important_heads([0.3, 0.3, 0.3, 0.1]) == [0, 1, 2]
    assert important_heads([0.0, 1.0]) == [1]


def profile_of(folder: Path, width: int, importance: list[float]) -> dict[str, Path]:
    """A profile with one key layer, the first: an orthonormal basis, and heads that matter."""
    basis = torch.linalg.qr(torch.randn(width, 6, generator=torch.Generator().manual_seed(0)))[0]
    arrays = {"basis": basis.numpy(), "mean": np.full(width, 0.5), "deviations": np.full(6, 2.0)}
    np.savez(folder / "layer_0_basis.npz", **arrays)
    write_json(folder / "profile.json", {"key_layers": [0]})
    write_json(folder / "heads_importance.json", {"heads": {"0": importance}})
    return {"profile": folder}


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_coefficients_of_heads_are_what_these_add_to_the_stream(
    family: str, tmp_path: Path
) -> None:
    module = import_module(f"modalities.text.families.{family}")
    config = module.decoder_config(Shape(32, 2, 4, 64), Vocabulary(48, end=0, padding=1))
    model = fresh_decoder(config, 3)
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(0.25)
    attention = find_structure(model).blocks[0].attentions[0]
    inputs = profile_of(tmp_path, 32, [0.0, 1.0, 0.0, 0.0])
    basis = torch.from_numpy(np.load(tmp_path / "layer_0_basis.npz")["basis"])

    seen: list[torch.Tensor] = []
    handle = attention.out.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        read = coefficient_reader(model, inputs, rows=1)
        log_probs, found = read(lambda: answer_log_probs(model, BATCH), BATCH)
        assert torch.equal(log_probs, answer_log_probs(model, BATCH))
        hidden = model(BATCH.input_ids, output_hidden_states=True).hidden_states
    handle.remove()
    # The second head alone, through its rows of the output matrix.
    weight = attention.out.weight if family == "gpt2" else attention.out.weight.T
    heads = seen[-1][BATCH.where[:, 0], BATCH.where[:, 1]]
    added = heads[:, 8:16] @ weight[8:16]
    expected = (added @ basis / 2).detach().numpy()
    np.testing.assert_allclose(found["attention/0"], expected, atol=2e-3)
    stream = hidden[1][BATCH.where[:, 0], BATCH.where[:, 1]]
    expected = ((stream - 0.5) @ basis / 2).detach().numpy()
    np.testing.assert_allclose(found["activation/0"], expected, atol=2e-3)


def test_where_no_row_wants_coefficients_the_model_runs_as_it_is() -> None:
    read = coefficient_reader(None, {}, rows=0)  # type: ignore[arg-type]
    assert read(lambda: torch.ones(1), BATCH) == (torch.ones(1), {})
