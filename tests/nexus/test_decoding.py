"""The decoding loop against transformers' own, for three families and any batch."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nexus.decoding import Row, answer_log_probs, decoder_of, greedy_decode, stream

END = 7
SMALL = {"vocab_size": 24, "eos_token_id": END, "bos_token_id": 1, "pad_token_id": 0}


def families() -> dict[str, PreTrainedModel]:
    decoder = {
        **SMALL,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    }
    torch.manual_seed(0)
    models = {
        "llama": LlamaForCausalLM(LlamaConfig(**decoder)),
        "gpt2": GPT2LMHeadModel(GPT2Config(**SMALL, n_embd=32, n_layer=2, n_head=2)),
        "qwen3": Qwen3ForCausalLM(Qwen3Config(**decoder, num_key_value_heads=1, head_dim=16)),
        # Attends to the last tokens only: its cache is not the plain one.
        "mistral": MistralForCausalLM(
            MistralConfig(**decoder, num_key_value_heads=2, sliding_window=8)
        ),
    }
    for model in models.values():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
        model.eval()
    return models


MODELS = families()
DRAW = random.Random(1)
PROMPTS = [DRAW.choices(range(8, 24), k=DRAW.randint(1, 30)) for _ in range(9)]


def token_that_ends_some(model: PreTrainedModel) -> int:
    """A token that ends answers at different lengths; these models were never taught one."""
    free = greedy_decode(model, PROMPTS, max_new_tokens=12, eos_token_id=-1)

    def lengths(token: int) -> int:
        return len({row.index(token) if token in row else 12 for row in free})

    return max(range(24), key=lengths)


@pytest.mark.parametrize("family", MODELS)
def test_tokens_are_those_of_generate(family: str) -> None:
    model = MODELS[family]
    end = token_that_ends_some(model)
    ours = greedy_decode(model, PROMPTS, max_new_tokens=12, eos_token_id=end, batch_size=5)
    for prompt, answer in zip(PROMPTS, ours, strict=True):
        output = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=end,
        )
        theirs = output[0, len(prompt) :].tolist()
        assert answer == (theirs[:-1] if theirs[-1] == end else theirs)
        assert list(stream(decoder_of(model), Row(prompt, 12), ends=(end,))) == answer
    assert len({len(answer) for answer in ours}) > 1, "some rows must leave the batch early"


@pytest.mark.parametrize("family", MODELS)
def test_likelihoods_do_not_depend_on_the_batch(family: str) -> None:
    model = MODELS[family]
    answers = [DRAW.choices(range(8, 24), k=DRAW.randint(0, 9)) for _ in PROMPTS]
    together = answer_log_probs(model, PROMPTS, answers, batch_size=4)
    for prompt, answer, batched in zip(PROMPTS, answers, together, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0]
        log_probs = logits.float().log_softmax(dim=-1)
        alone = sum(
            float(log_probs[len(prompt) - 1 + index, token]) for index, token in enumerate(answer)
        )
        assert batched == pytest.approx(alone, abs=1e-3)


def test_a_row_ends_where_its_reader_says_so() -> None:
    model = MODELS["llama"]
    rows = greedy_decode(
        model,
        PROMPTS,
        max_new_tokens=20,
        eos_token_id=END,
        finished=lambda answer: len(answer) == 3,
    )
    assert max(map(len, rows)) == 3


def test_an_answer_stops_where_the_positions_end() -> None:
    prompt = [9] * 120
    (answer,) = greedy_decode(MODELS["llama"], [prompt], max_new_tokens=50, eos_token_id=-1)
    assert len(answer) == 8


def test_prompts_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="prompt 1 has no tokens"):
        greedy_decode(MODELS["llama"], [[9], []], max_new_tokens=2, eos_token_id=END)
    with pytest.raises(ValueError, match="shorten the prompt"):
        greedy_decode(MODELS["llama"], [[9] * 128], max_new_tokens=2, eos_token_id=END)


def test_progress_counts_prompts() -> None:
    seen: list[tuple[int, int]] = []
    greedy_decode(
        MODELS["llama"],
        PROMPTS,
        max_new_tokens=2,
        eos_token_id=END,
        batch_size=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(4, 9), (8, 9), (9, 9)]
