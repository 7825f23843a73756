"""The lean pass against transformers: every family, adapters merged and beside, mixed batches."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from nexus import llama
from nexus.adapters import Adapter, LowRank, merged
from nexus.backbone import open_decoder
from nexus.decoding import Row, answer_log_probs, decode, greedy_decode, stream
from nexus.llama import LlamaDecoder
from nexus.llama_weights import Shape
from nexus.packing import WEIGHTS, PackedWeights
from nexus.transformers_decoder import TransformersDecoder

DRAW = random.Random(5)
PROMPTS = [DRAW.choices(range(64), k=DRAW.randint(1, 24)) for _ in range(9)]
NAMES = ("first", "second", None)
ROWS = [Row(prompt, 5 + place, NAMES[place % 3]) for place, prompt in enumerate(PROMPTS)]

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "eos_token_id": 3,
}
GPT2: dict[str, Any] = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=4),
    "llama, grouped queries, tied": LlamaConfig(
        **SIZES, num_key_value_heads=2, tie_word_embeddings=True
    ),
    "llama, biases": LlamaConfig(
        **SIZES, num_key_value_heads=1, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3
    ),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
}


def saved(config: PretrainedConfig, folder: Path) -> PreTrainedModel:
    """A model with logits that are far apart, as a packed backbone in `folder`."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    model.save_pretrained(folder)
    (folder / "model.safetensors").rename(folder / WEIGHTS)
    return model


def drawn_adapter(model: PreTrainedModel, seed: int) -> Adapter:
    """Updates of every linear layer and the embedding, a rank of zeros in each."""
    generator = torch.Generator().manual_seed(seed)
    updates = {}
    for name, module in model.named_modules():
        embedding = isinstance(module, torch.nn.Embedding)
        if not embedding and not isinstance(module, torch.nn.Linear):
            continue
        out, width = module.weight.T.shape if embedding else module.weight.shape
        a = torch.randn(4, width, generator=generator) * 0.3
        b = torch.randn(out, 4, generator=generator) * 0.3
        a[3], b[:, 2] = 0, 0
        updates[name] = LowRank(a, b, 1.5, embedding)
    return Adapter(updates)


@pytest.fixture(scope="module", params=CONFIGS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedModel, Path]:
    folder = tmp_path_factory.mktemp("backbone")
    return saved(CONFIGS[request.param], folder), folder


@pytest.mark.parametrize("merges", [True, False], ids=["merged", "beside"])
def test_mixed_rows_get_the_tokens_that_each_gets_from_transformers(
    pair: tuple[PreTrainedModel, Path], merges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = pair
    monkeypatch.setattr(llama, "MERGED_PARAMETERS", 1 << 30 if merges else 0)
    decoder = open_decoder(folder)
    assert isinstance(decoder, LlamaDecoder)
    adapters = {"first": drawn_adapter(model, 1), "second": drawn_adapter(model, 2)}
    for name, adapter in adapters.items():
        decoder.add(name, adapter)
    answers = decode(decoder, ROWS, ends=(3,), batch_size=5)
    ids = torch.tensor([PROMPTS[0]])
    for row, answer in zip(ROWS, answers, strict=True):
        assert list(stream(decoder, row, ends=(3,))) == answer
    for name in NAMES:
        rows = [place for place, row in enumerate(ROWS) if row.adapter == name]
        with merged(model, adapters.get(name or "", Adapter({}))), torch.no_grad():
            for place in rows:
                (expected,) = greedy_decode(
                    model,
                    [PROMPTS[place]],
                    max_new_tokens=ROWS[place].max_new_tokens,
                    eos_token_id=3,
                )
                assert answers[place] == expected
            logits = decoder.session(torch.ones_like(ids), [name]).feed(ids, len(PROMPTS[0]))
            assert torch.allclose(logits, model(ids).logits, rtol=1e-4, atol=1e-3)


def test_likelihoods_are_those_of_transformers(pair: tuple[PreTrainedModel, Path]) -> None:
    model, folder = pair
    answers = [DRAW.choices(range(64), k=DRAW.randint(0, 9)) for _ in PROMPTS]
    ours = answer_log_probs(open_decoder(folder), PROMPTS, answers, batch_size=4)
    assert ours == pytest.approx(answer_log_probs(model, PROMPTS, answers), rel=1e-4, abs=1e-3)


def test_a_session_reads_several_tokens_at_a_time(pair: tuple[PreTrainedModel, Path]) -> None:
    model, folder = pair
    ids = torch.tensor([DRAW.choices(range(64), k=90), DRAW.choices(range(64), k=90)])
    session = open_decoder(folder).session(torch.ones(2, 20, dtype=torch.long), [None, None])
    parts = [session.feed(ids[:, start:stop], stop - start) for start, stop in ((0, 20), (20, 90))]
    with torch.no_grad():
        assert torch.allclose(torch.cat(parts, dim=1), model(ids).logits, rtol=1e-4, atol=1e-3)


def test_half_precision_is_close(pair: tuple[PreTrainedModel, Path]) -> None:
    model, folder = pair
    ids = torch.tensor([PROMPTS[0]])
    session = open_decoder(folder, dtype=torch.bfloat16).session(torch.ones_like(ids), [None])
    with torch.no_grad():
        expected = model(ids).logits[:, -1:]
    assert (session.feed(ids).float() - expected).norm() < 0.1 * expected.norm()


def test_what_the_lean_pass_does_not_compute_goes_to_transformers(tmp_path: Path) -> None:
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    others = [
        MistralConfig(**SIZES, sliding_window=8),
        LlamaConfig(**SIZES, rope_parameters=scaled),
        LlamaConfig(**SIZES, hidden_act="gelu"),
        GPT2Config(),
    ]
    assert [Shape.of(config.to_dict()) for config in others] == [None] * 4
    model = saved(GPT2Config(**GPT2), tmp_path)
    assert isinstance(model, GPT2LMHeadModel)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 3}', encoding="utf-8")
    decoder = open_decoder(tmp_path)
    assert isinstance(decoder, TransformersDecoder)
    for seed, name in enumerate(("first", "second")):
        decoder.add(name, drawn_adapter(model, seed))
    answers = decode(decoder, ROWS, ends=(3,))
    assert answers == [decode(decoder, [row], ends=(3,))[0] for row in ROWS]
    assert answers == [list(stream(decoder, row, ends=(3,))) for row in ROWS]
    assert answers != decode(
        decoder, [Row(row.prompt, row.max_new_tokens) for row in ROWS], ends=(3,)
    )


@pytest.mark.parametrize("config", [GPT2Config(**GPT2), CONFIGS["llama"]], ids=["gpt2", "llama"])
def test_threads_do_not_see_the_adapters_of_each_other(
    tmp_path: Path, config: PretrainedConfig
) -> None:
    model = saved(config, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 3}', encoding="utf-8")
    decoder = open_decoder(tmp_path)
    for seed, name in enumerate(("first", "second")):
        decoder.add(name, drawn_adapter(model, seed))
    alone = [list(stream(decoder, row, ends=(3,))) for row in ROWS]
    with ThreadPoolExecutor(max_workers=4) as threads:
        answers = threads.map(lambda row: list(stream(decoder, row, ends=(3,))), ROWS * 8)
        assert list(answers) == alone * 8


def test_threads_that_begin_at_once_each_have_their_positions(tmp_path: Path) -> None:
    saved(CONFIGS["llama"], tmp_path)
    lengths = [900, 30, 40, 500, 700, 20]
    begin = Barrier(len(lengths))

    def rotated(decoder: LlamaDecoder, length: int) -> int:
        begin.wait()
        cosines, sines = decoder.rotation(torch.arange(length)[None], length)
        return cosines.shape[1] + sines.shape[1]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(max_workers=len(lengths)) as threads:
            for _ in range(200):
                decoder = open_decoder(tmp_path)
                assert isinstance(decoder, LlamaDecoder)
                found = threads.map(partial(rotated, decoder), lengths)
                assert list(found) == [2 * length for length in lengths]
    finally:
        sys.setswitchinterval(interval)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = saved(CONFIGS["llama"], tmp_path)
    config = AutoConfig.from_pretrained(tmp_path).to_dict()
    weights = PackedWeights(tmp_path)
    cpu = torch.device("cpu")
    for change in ({"hidden_size": 16}, {"vocab_size": 8}, {"intermediate_size": 8}):
        shape = Shape.of({**config, **change})
        assert shape is not None
        with pytest.raises(ValueError, match="has shape"):
            LlamaDecoder(shape, weights, cpu, torch.float32)
    decoder = open_decoder(tmp_path)
    adapter = drawn_adapter(model, 1)
    with pytest.raises(ValueError, match="not of one build"):
        decoder.add("wide", Adapter({"lm_head": adapter.updates["model.layers.0.mlp.down_proj"]}))
    with pytest.raises(ValueError, match="does not have"):
        decoder.add("odd", Adapter({"model.layers.9.mlp.up_proj": adapter.updates["lm_head"]}))
