"""Packed components: what transformers, PEFT and bitsandbytes make of them, and what Nexus does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from nexus.adapters import AdapterSwitch, load_adapter, merged
from nexus.decoding import greedy_decode
from nexus.packing import float_weights, load_backbone

PROMPTS = [[5 + (7 * row + 3 * column) % 300 for column in range(4 + row)] for row in range(12)]


def plain(directory: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(directory)


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_weights_are_those_that_bitsandbytes_dequantises(
    packed_backbones: dict[str, Path], quantize: str
) -> None:
    theirs = plain(packed_backbones[quantize]).dequantize(torch.float32).state_dict()
    ours = float_weights(packed_backbones[quantize])
    assert set(ours) == set(theirs)
    for name, weight in theirs.items():
        assert torch.equal(ours[name].float(), weight.float()), name


@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
def test_plain_transformers_gives_the_same_tokens(
    packed_backbones: dict[str, Path], quantize: str
) -> None:
    directory = packed_backbones[quantize]
    ours = greedy_decode(load_backbone(directory), PROMPTS, max_new_tokens=24, eos_token_id=1)
    model = plain(directory)
    if quantize == "nf4":  # its CPU kernels round activations to bfloat16
        model = model.dequantize(torch.float32)
    for prompt, answer in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        output = model.generate(ids, max_new_tokens=24, do_sample=False)[0, len(prompt) :].tolist()
        assert [token for token in output if token != 1] == answer


def test_int8_kernels_round_weights_and_not_activations(packed_backbones: dict[str, Path]) -> None:
    ids = torch.tensor([PROMPTS[-1]])
    with torch.no_grad():
        ours = load_backbone(packed_backbones["int8"])(ids).logits
        theirs = plain(packed_backbones["int8"])(ids).logits
    assert (ours - theirs).abs().max() < 1e-4 * ours.abs().max()


def test_errors_of_the_forms_are_in_order(
    packed_backbones: dict[str, Path], student_backbone: Path
) -> None:
    exact = load_file(student_backbone / "model.safetensors")
    errors = {}
    for quantize, directory in packed_backbones.items():
        weights = float_weights(directory)
        name = "model.layers.1.mlp.up_proj.weight"
        errors[quantize] = float((weights[name] - exact[name]).norm() / exact[name].norm())
        assert torch.equal(weights["lm_head.weight"], exact["lm_head.weight"])
    assert errors["none"] == 0
    assert 0 < errors["int8"] < 0.01 < errors["nf4"] < 0.15


def test_size_says_what_was_written(packed_backbones: dict[str, Path]) -> None:
    sizes = {
        quantize: json.loads((directory / "size.json").read_text())
        for quantize, directory in packed_backbones.items()
    }
    assert sizes["nf4"]["bytes"] < sizes["int8"]["bytes"] < sizes["none"]["bytes"]
    for quantize, directory in packed_backbones.items():
        assert sizes[quantize]["bytes"] == (directory / "backbone.safetensors").stat().st_size


def test_a_packed_adapter_computes_what_was_trained(
    packed_backbones: dict[str, Path],
    trained_adapters: dict[str, Path],
    packed_adapters: dict[str, Path],
) -> None:
    model = load_backbone(packed_backbones["none"])
    ids = torch.tensor([PROMPTS[-1]])
    folder = trained_adapters["sums"]
    trained = load_adapter(folder / "adapter_model.safetensors", folder / "lora_config.json")
    folder = packed_adapters["sums"]
    packed = load_adapter(folder / "sums_adapter.safetensors", folder / "sums_adapter.json")
    assert {update.A.shape[0] for update in packed.updates.values()} == {4}
    with torch.no_grad(), merged(model, trained):
        expected = model(ids).logits
    with torch.no_grad(), merged(model, packed):
        got = model(ids).logits
    assert (got - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_form_says_that_nf4_needs_multiples_of_64() -> None:
    from targets.pack.quantisation import quantise

    with pytest.raises(ValueError, match="multiples of 64"):
        quantise({"a.weight": torch.ones(96, 64)}, {"a.weight"}, "nf4")


def test_an_adapter_of_another_build_is_refused(
    packed_backbones: dict[str, Path], packed_adapters: dict[str, Path]
) -> None:
    folder = packed_adapters["sums"]
    adapter = load_adapter(folder / "sums_adapter.safetensors", folder / "sums_adapter.json")
    model = load_backbone(packed_backbones["none"])
    model.lm_head.weight = torch.nn.Parameter(torch.zeros(9, 64), requires_grad=False)
    with pytest.raises(ValueError, match="not of one build"):
        AdapterSwitch(model).use("sums", adapter)


def test_peft_opens_an_adapter_and_gives_the_same_tokens(
    packed_backbones: dict[str, Path], packed_adapters: dict[str, Path]
) -> None:
    folder = packed_adapters["calls"]
    files = (folder / "calls_adapter.safetensors", folder / "calls_adapter.json")
    config = LoraConfig(**json.loads(files[1].read_text(encoding="utf-8")))
    model = get_peft_model(plain(packed_backbones["int8"]), config)
    result = set_peft_model_state_dict(model, load_file(files[0]))
    assert not result.unexpected_keys
    assert not [key for key in result.missing_keys if "lora_" in key]
    ours = load_backbone(packed_backbones["int8"])
    with merged(ours, load_adapter(*files)):
        answers = greedy_decode(ours, PROMPTS, max_new_tokens=24, eos_token_id=1)
    model.eval()
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = torch.tensor([prompt])
        output = model.generate(input_ids=ids, max_new_tokens=24, do_sample=False)
        assert [token for token in output[0, len(prompt) :].tolist() if token != 1] == answer
