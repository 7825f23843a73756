"""Adapters in memory: PEFT's arithmetic, and a base that comes back to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nexus.adapters import AdapterSwitch, load_adapter, merged, scaling_of

IDS = torch.tensor([[3, 8, 40, 22, 5]])


@pytest.fixture
def tied() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def saved(folder: Path, seed: int, modules: tuple[str, ...]) -> tuple[Path, Path]:
    """An adapter file with random factors for the named modules of `tied`."""
    generator = torch.Generator().manual_seed(seed)
    widths = {"embed_tokens": (64, 32), "lm_head": (32, 64), "q_proj": (32, 32)}
    tensors = {}
    for module in modules:
        inward, outward = widths[module.rpartition(".")[2]]
        leaf = ("lora_A.weight", "lora_B.weight")
        if module.endswith("embed_tokens"):
            leaf = ("lora_embedding_A", "lora_embedding_B")
        for name, shape in zip(leaf, ((4, inward), (outward, 4)), strict=True):
            drawn = torch.randn(shape, generator=generator)
            tensors[f"base_model.model.{module}.{name}"] = drawn * 0.3
    files = folder / f"{seed}.safetensors", folder / f"{seed}.json"
    save_file(tensors, files[0])
    config = {"r": 4, "lora_alpha": 8, "target_modules": [m.rpartition(".")[2] for m in modules]}
    files[1].write_text(json.dumps(config), encoding="utf-8")
    return files


MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")


def test_merging_is_pefts_arithmetic_on_linear_layers(
    tied: LlamaForCausalLM, tmp_path: Path
) -> None:
    files = saved(tmp_path, 1, MODULES)
    with torch.no_grad(), merged(tied, load_adapter(*files)):
        ours = tied(IDS).logits
    opened = get_peft_model(tied, LoraConfig(**json.loads(files[1].read_text(encoding="utf-8"))))
    set_peft_model_state_dict(opened, load_file(files[0]))
    with torch.no_grad():
        theirs = opened.eval()(input_ids=IDS).logits
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert ours.abs().max() > 0.1


def test_embedding_and_tied_head_are_changed_apart(tied: LlamaForCausalLM, tmp_path: Path) -> None:
    table = tied.model.embed_tokens.weight.detach().clone()
    adapter = load_adapter(*saved(tmp_path, 2, ("lm_head",)))
    with merged(tied, adapter):
        assert torch.equal(tied.model.embed_tokens.weight, table)
        assert not torch.equal(tied.lm_head.weight, table)
    assert torch.equal(tied.lm_head.weight, table)


def test_many_switches_leave_the_base_as_it_was(tied: LlamaForCausalLM, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tied.state_dict().items()}
    names = (*MODULES, "model.embed_tokens", "lm_head")
    adapters = [load_adapter(*saved(tmp_path, seed, names)) for seed in range(3)]
    for keep in (0, 1 << 30):
        switch = AdapterSwitch(tied, keep_bytes=keep)
        outputs: dict[int, torch.Tensor] = {}
        for turn in range(12):
            index = turn % 3
            switch.use(str(index), adapters[index])
            with torch.no_grad():
                logits = tied(IDS).logits
            assert torch.equal(outputs.setdefault(index, logits), logits)
        switch.remove()
        after = tied.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_kept_weights_stay_within_their_budget(tied: LlamaForCausalLM, tmp_path: Path) -> None:
    adapters = [load_adapter(*saved(tmp_path, seed, ("lm_head",))) for seed in range(3)]
    switch = AdapterSwitch(tied, keep_bytes=2 * 64 * 32 * 4)
    for index, adapter in enumerate(adapters):
        switch.use(str(index), adapter)
    assert list(switch._merged) == ["1", "2"]


def test_scaling_follows_patterns_and_rslora() -> None:
    config = {
        "r": 8,
        "lora_alpha": 16,
        "rank_pattern": {"layers.1.self_attn.q_proj": 4},
        "alpha_pattern": {"q_proj": 12},
    }
    assert scaling_of(config, "model.layers.0.mlp.up_proj") == 2.0
    assert scaling_of(config, "model.layers.0.self_attn.q_proj") == 1.5
    assert scaling_of(config, "model.layers.1.self_attn.q_proj") == 3.0
    assert scaling_of({"r": 16, "lora_alpha": 8, "use_rslora": True}, "q_proj") == 2.0


def test_a_file_with_other_tensors_is_refused(tmp_path: Path) -> None:
    files = tmp_path / "a.safetensors", tmp_path / "a.json"
    files[1].write_text('{"r": 4, "lora_alpha": 4}', encoding="utf-8")
    save_file({"base_model.model.lm_head.weight": torch.ones(4, 4)}, files[0])
    with pytest.raises(ValueError, match="no LoRA factor"):
        load_adapter(*files)
    save_file({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 4)}, files[0])
    with pytest.raises(ValueError, match="lacks a factor"):
        load_adapter(*files)
