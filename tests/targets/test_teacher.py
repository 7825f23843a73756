"""The record of a teacher: which files it is made of, and what is said of broken ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from opened_models.weight_files import stored_parameters, weight_files
from targets.teacher.work import described, stored_tensors

INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A model in two files with an index, and once more in one file, as Mistral's folders are."""
    weights = {name: torch.arange(4.0) + number for number, name in enumerate("ab")}
    for name, weight in weights.items():
        save_file({name: weight}, tmp_path / f"model-{name}.safetensors")
    save_file({"other.a": weights["a"]}, tmp_path / "consolidated.safetensors")
    index = {"weight_map": {name: f"model-{name}.safetensors" for name in weights}}
    (tmp_path / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return tmp_path


def test_an_index_says_which_files_are_the_model(sharded: Path) -> None:
    assert [name for name, _ in stored_tensors(weight_files(sharded))] == ["a", "b"]
    assert stored_parameters(weight_files(sharded)) == 8


def test_a_whole_model_is_one_file(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    (sharded / "model-a.safetensors").rename(sharded / "model.safetensors")
    assert [name for name, _ in stored_tensors(weight_files(sharded))] == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no index of weights"),
        ("[]", "is no index of weights"),
        ('{"weight_map": {"a": 1}}', "is no index of weights"),
        ('{"weight_map": {}}', "names no file"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "is not a file next to it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors is missing"),
    ],
)
def test_an_index_that_is_wrong_is_named(sharded: Path, text: str, message: str) -> None:
    (sharded / INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{message}.*fetch the model again"):
        weight_files(sharded)


@pytest.mark.parametrize("length", [0, 5, 40, -3])
def test_a_file_that_is_not_whole_is_named_with_the_remedy(sharded: Path, length: int) -> None:
    file = sharded / "model-b.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"model-b\.safetensors .*fetch the model again"):
        list(stored_tensors(weight_files(sharded)))


@pytest.mark.parametrize("length", [0, 5, 40])
def test_a_broken_file_has_no_size(sharded: Path, length: int) -> None:
    file = sharded / "model-b.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"model-b\.safetensors is no whole safetensors file"):
        stored_parameters(weight_files(sharded))


def test_floats_of_other_widths_are_known_as_float32_too() -> None:
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).bfloat16()
    record = described(weight)
    assert record["sha256_float32"] == hashlib.sha256(weight.float().numpy().tobytes()).hexdigest()
    assert record["sha256_float32"] != record["sha256"]
    for tensor in (weight.float(), torch.arange(3)):
        assert "sha256_float32" not in described(tensor)
