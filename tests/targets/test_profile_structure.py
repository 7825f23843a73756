"""Blocks, heads and neurons are found in decoders of many families, by structure alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel

from modalities.text.encoding import Encoded
from modalities.text.pilot_batches import batches
from opened_models.losses import answer_nll
from opened_models.structure import StructureError, find_structure
from opened_models.surgery import gated_heads, remove_blocks
from targets.profile.ablation import PrefixedBatch

VOCABULARY = 50
PLAIN = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
GATED = {**PLAIN, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 64}

# family, configuration, heads, groups, neurons, heads_out, neurons_out
FAMILIES: list[tuple[str, dict[str, Any], int, int, int, str, str]] = [
    ("llama", GATED, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("qwen2", GATED, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("qwen3", {**GATED, "head_dim": 16}, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("mistral", GATED, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("gemma", {**GATED, "head_dim": 8}, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("phi", GATED, 4, 2, 48, "self_attn.dense", "mlp.fc2"),
    ("phi3", {**GATED, "pad_token_id": 0}, 4, 2, 48, "self_attn.o_proj", "mlp.down_proj"),
    ("starcoder2", GATED, 4, 2, 48, "self_attn.o_proj", "mlp.c_proj"),
    ("gpt2", {"n_embd": 32, "n_layer": 3, "n_head": 4}, 4, 4, 128, "attn.c_proj", "mlp.c_proj"),
    (
        "gpt_neox",
        {**PLAIN, "intermediate_size": 48},
        *(4, 4, 48, "attention.dense", "mlp.dense_4h_to_h"),
    ),
    (
        "gptj",
        {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4},
        *(4, 4, 128, "attn.out_proj", "mlp.fc_out"),
    ),
    (
        "opt",
        {**PLAIN, "ffn_dim": 48, "word_embed_proj_dim": 32},
        *(4, 4, 48, "self_attn.out_proj", "fc2"),
    ),
    (
        "bloom",
        {"hidden_size": 32, "n_layer": 3, "n_head": 4},
        *(4, 4, 128, "self_attention.dense", "mlp.dense_4h_to_h"),
    ),
]


def tiny(family: str, settings: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    special = {"bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, **special, **settings)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.requires_grad_(False)
    # As initialised, many models have almost no attention to speak of.
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.3)
    return model


ROWS = [Encoded([5, 6, 7], [8, 9, 2]), Encoded([5, 9, 4, 4, 7], [3, 2]), Encoded([11], [12, 2])]


@pytest.mark.parametrize(
    ("family", "settings", "heads", "groups", "neurons", "heads_out", "neurons_out"),
    FAMILIES,
    ids=[family[0] for family in FAMILIES],
)
def test_a_decoder_is_taken_apart_and_put_back(
    family: str,
    settings: dict[str, Any],
    heads: int,
    groups: int,
    neurons: int,
    heads_out: str,
    neurons_out: str,
) -> None:
    model = tiny(family, settings)
    structure = find_structure(model)

    assert structure.hidden_size == 32
    assert len(structure.blocks) == 3
    for block in structure.blocks:
        assert (block.heads, block.groups, block.neurons) == (heads, groups, neurons)
        assert block.module.get_submodule(heads_out) is block.attentions[0].out
        assert block.module.get_submodule(neurons_out) is block.neurons_out

    # Padding on the right changes nothing, nor does asking for a few logits only.
    (batch,) = batches(ROWS, 4096, structure)
    with torch.inference_mode():
        nll = answer_nll(structure, batch)
        for place, sample in enumerate(batch.samples):
            row = ROWS[sample]
            text = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
            log_probs = model(input_ids=text).logits[0].log_softmax(-1)
            start = len(row.prompt_ids) - 1
            alone = [-log_probs[start + i, token] for i, token in enumerate(row.answer_ids)]
            assert float(nll[place]) == pytest.approx(float(sum(alone)) / len(alone), rel=1e-4)

        # Restarting below a removed block gives what running the whole without it gives.
        prefixed = PrefixedBatch(structure, batch)
        for indices in ((0,), (1,), (2,), (0, 2), (1, 2)):
            with remove_blocks(indices, structure):
                whole = answer_nll(structure, batch)
            assert torch.allclose(prefixed.without(indices), whole, rtol=1e-4)

        # Closed gates on every head leave nothing of attention but its bias.
        shut = {block.index: torch.zeros(1, block.heads) for block in structure.blocks}
        ajar = {block.index: torch.ones(1, block.heads) for block in structure.blocks}
        with gated_heads(ajar, structure):
            assert torch.allclose(answer_nll(structure, batch), nll, rtol=1e-5)
        with gated_heads(shut, structure):
            assert not torch.allclose(answer_nll(structure, batch), nll, rtol=1e-5)
        assert torch.allclose(answer_nll(structure, batch), nll)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("mamba", {"hidden_size": 32, "num_hidden_layers": 2}, "blocks with attention.*in_proj"),
        ("albert", {**PLAIN, "intermediate_size": 48}, "ran 3 times in one pass.*shared"),
        (
            "swin",
            {"image_size": 16, "patch_size": 4, "embed_dim": 16, "depths": [1, 1]}
            | {"num_heads": [2, 2], "window_size": 2},
            r"residual stream of width 16.*found: \(2, 4, 32\)",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_what_was_looked_for(
    family: str, settings: dict[str, Any], message: str
) -> None:
    words = {} if family == "swin" else {"vocab_size": VOCABULARY}
    model = AutoModel.from_config(AutoConfig.for_model(family, **words, **settings))
    with pytest.raises(StructureError, match=rf"{message}"):
        find_structure(model.eval())


def test_blocks_without_attention_are_refused_with_what_ran() -> None:
    config = AutoConfig.for_model(
        "llama", vocab_size=VOCABULARY, **{**GATED, "num_key_value_heads": 4}
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    for layer in model.model.layers:
        layer.self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(StructureError, match=r"blocks with attention.*mlp\.down_proj"):
        find_structure(model)
