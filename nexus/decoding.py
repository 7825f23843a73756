"""Greedy decoding and answer likelihoods for any Hugging Face causal language model.

A plain batched loop over a key/value cache: no sampling, no beams, no logits processors. Prompts
are sorted by length and left-padded, and a row leaves the batch as soon as it is done. The tokens
are those of `model.generate(do_sample=False)`, at a fraction of its cost per step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

# Cached states are copied when their buffer is full: every GROWTH tokens, not at each of them.
GROWTH = 64
# Logits are several copies of float32; this many are about 1 GB, whatever the vocabulary.
LOGITS_AT_ONCE = 1 << 26

Finished = Callable[[list[int]], bool]
Done = Callable[[int, int], None]


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of one layer, appended in place: (rows, heads, tokens, head width)."""

    keys: Tensor
    values: Tensor
    room_keys: Tensor
    room_values: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen = self.get_seq_length()
        total = seen + key_states.shape[-2]
        if seen == 0 or self.room_keys.shape[-2] < total:
            self.room_keys = _with_room(self.keys, key_states, seen, total)
            self.room_values = _with_room(self.values, value_states, seen, total)
        self.room_keys[..., seen:total, :] = key_states
        self.room_values[..., seen:total, :] = value_states
        self.keys = self.room_keys[..., :total, :]
        self.values = self.room_values[..., :total, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self.room_keys = self.room_keys.index_select(0, indices)
        self.room_values = self.room_values.index_select(0, indices)
        total = self.get_seq_length()
        self.keys = self.room_keys[..., :total, :]
        self.values = self.room_values[..., :total, :]


def _with_room(old: Tensor, new: Tensor, seen: int, total: int) -> Tensor:
    """A buffer like `new` for `total` tokens and GROWTH more, holding `seen` tokens of `old`."""
    rows, heads, _, width = new.shape
    room = new.new_zeros((rows, heads, total + GROWTH, width))
    if seen:
        room[..., :seen, :] = old
    return room


def greedy_decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_token_id: int,
    batch_size: int = 64,
    finished: Finished | None = None,
    progress: Done | None = None,
) -> list[list[int]]:
    """New tokens of every prompt, in the order given, without the end-of-sequence token.

    finished: called with a row's new tokens after each of them; True ends the row (stop strings).
    progress: called with the number of prompts answered and the number of all.
    Raises ValueError on an empty prompt or one that fills the model's positions.
    """
    limit = _checked_limit(model, prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    answered = 0
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        budgets = [min(max_new_tokens, limit - len(prompts[index])) for index in indices]
        rows = _decode_batch(
            model, [prompts[index] for index in indices], budgets, eos_token_id, finished
        )
        for index, row in zip(indices, rows, strict=True):
            answers[index] = row
        answered += len(indices)
        if progress is not None:
            progress(answered, len(order))
    return answers


def greedy_stream(
    model: PreTrainedModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos_token_id: int,
    before_step: Callable[[], None] = lambda: None,
) -> Iterator[int]:
    """The tokens that `greedy_decode` gives for one prompt, each as soon as it is known.

    before_step: called before the model runs; the caller may have used it for something else.
    """
    limit = _checked_limit(model, [prompt])
    steps = _steps(model, [prompt], min(max_new_tokens, limit - len(prompt)))
    while True:
        before_step()
        step = next(steps, None)
        if step is None:
            return
        token = step.tokens[0]
        if token == eos_token_id:
            return
        yield token


@dataclass
class Step:
    """One token for each row still in the batch. `keep` is set by the reader: rows that stay."""

    tokens: list[int]
    keep: list[int] | None = None


def _decode_batch(
    model: PreTrainedModel,
    prompts: list[Sequence[int]],
    budgets: list[int],
    eos_token_id: int,
    finished: Finished | None,
) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))  # position in the batch -> prompt, or -1 once it is done
    for step in _steps(model, prompts, max(budgets)):
        for position, token in enumerate(step.tokens):
            prompt = alive[position]
            if prompt < 0:
                continue
            answer = answers[prompt]
            if token != eos_token_id:
                answer.append(token)
            done = token == eos_token_id or len(answer) >= budgets[prompt]
            if done or (finished is not None and finished(answer)):
                alive[position] = -1
        keep = [position for position, prompt in enumerate(alive) if prompt >= 0]
        if not keep:
            break
        # Taking rows out copies the cache, so it waits until an eighth of the batch is done.
        if len(keep) <= len(alive) - max(1, len(alive) // 8):
            step.keep = keep
            alive = [alive[position] for position in keep]
    return answers


@torch.inference_mode()
def _steps(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> Iterator[Step]:
    """Feed the prompts, then each row's likeliest token, until the reader stops or all is said."""
    if max_new_tokens < 1:
        return
    device = model.device
    ids, mask = left_padded(prompts, device)
    cache = _empty_cache(model)
    extra: dict[str, Any] = {"logits_to_keep": 1} if _accepts(model, "logits_to_keep") else {}
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    takes_positions = _accepts(model, "position_ids")
    padded = bool((mask == 0).any())
    for count in range(max_new_tokens):
        if takes_positions:
            extra["position_ids"] = positions
        output = model(
            input_ids=ids,
            attention_mask=mask if padded else None,
            past_key_values=cache,
            use_cache=True,
            **extra,
        )
        ids = output.logits[:, -1, :].argmax(dim=-1, keepdim=True)  # (rows, 1)
        step = Step(ids[:, 0].tolist())
        yield step
        if count + 1 == max_new_tokens:
            return
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones((mask.shape[0], 1))], dim=1)
        if step.keep is not None:
            rows = torch.tensor(step.keep, device=device)
            ids, mask, positions = ids[rows], mask[rows], positions[rows]
            cache.batch_select_indices(rows)


@torch.inference_mode()
def answer_log_probs(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    batch_size: int = 64,
) -> list[float]:
    """log p(answer | prompt) in nats, summed over the answer's tokens in float32.

    An answer that should account for its end carries the end-of-sequence token itself.
    """
    _checked_limit(model, prompts)
    lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
    order = sorted(range(len(prompts)), key=lambda index: (lengths[index], index))
    sums = [0.0] * len(prompts)
    takes_positions = _accepts(model, "position_ids")
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    most = max([len(answer) + 1 for answer in answers], default=1)
    rows = max(1, min(batch_size, LOGITS_AT_ONCE // (most * vocabulary)))
    for start in range(0, len(order), rows):
        indices = order[start : start + rows]
        texts = [[*prompts[index], *answers[index]] for index in indices]
        ids, mask = left_padded(texts, model.device)
        longest = max(len(answers[index]) for index in indices)
        if longest == 0:
            continue
        extra: dict[str, Any] = {}
        if takes_positions:
            extra["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        # The token at t is predicted at t - 1, so `longest` answers need `longest + 1` positions.
        if _accepts(model, "logits_to_keep"):
            extra["logits_to_keep"] = longest + 1
        padded = bool((mask == 0).any())
        logits = model(
            input_ids=ids, attention_mask=mask if padded else None, use_cache=False, **extra
        ).logits
        log_probs = logits[:, -longest - 1 : -1, :].float().log_softmax(dim=-1)
        of_tokens = log_probs.gather(2, ids[:, -longest:, None])[:, :, 0]  # (rows, longest)
        for row, index in enumerate(indices):
            count = len(answers[index])
            if count:
                sums[index] = float(of_tokens[row, longest - count :].sum())
    return sums


def left_padded(
    texts: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Token ids, padded with 0 on the left, and their mask; both int64 (rows, longest)."""
    width = max(len(text) for text in texts)
    ids = [[0] * (width - len(text)) + list(text) for text in texts]
    mask = [[0] * (width - len(text)) + [1] * len(text) for text in texts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _checked_limit(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> int:
    """How many positions the model has; refuses prompts that leave no room for an answer."""
    limit: int = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} has no tokens; a prompt needs at least one")
        if len(prompt) >= limit:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens and the model has {limit} positions; "
                "shorten the prompt"
            )
    return limit


def _empty_cache(model: PreTrainedModel) -> Cache:
    """Layers that grow in place; transformers' own where a model's attention is not plain."""
    config = model.config.get_text_config(decoder=True)
    own = DynamicCache(config=config)
    if own.layers and all(type(layer) is DynamicLayer for layer in own.layers):
        return Cache(layers=[GrowingLayer() for _ in own.layers])
    return own


def _accepts(model: PreTrainedModel, argument: str) -> bool:
    return argument in inspect.signature(model.forward).parameters
