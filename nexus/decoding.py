"""Greedy decoding and answer likelihoods: one loop for every model that can be a `Decoder`.

No sampling, no beams, no logits processors. Prompts are sorted by length and left-padded, a row
leaves the batch as soon as it is done, and rows of several adapters share one batch where the
decoder can do that. The tokens are those of `model.generate(do_sample=False)`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from nexus.soft_tokens import SoftTokens, soft_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Logits are several copies of float32; this many are about 1 GB, whatever the vocabulary.
LOGITS_AT_ONCE = 1 << 26

Finished = Callable[[list[int]], bool]
Done = Callable[[int, int], None]


class Session(Protocol):
    """A batch in flight: the rows, and what the model remembers of them."""

    def feed(self, ids: Tensor, last: int = 1, soft: SoftTokens | None = None) -> Tensor:
        """Read ids (rows, tokens) next; the logits after the `last` of them, (rows, last, vocab).

        The first call reads the prompts, which are padded on the left as the mask says. soft:
        states to be read in place of some of the ids.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these, given by position in rising order."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """A model that can be decoded. `positions`: how many tokens a row may have."""

    device: torch.device
    positions: int
    vocabulary: int
    mixes: bool
    """Whether the rows of one session may have different adapters."""

    def input_embedding(self, name: str) -> Tensor:
        """The input embedding without adapters, (vocabulary, width), in the decoder's dtype.

        Raises ValueError where the parameter of that name is another.
        """
        ...

    def session(self, mask: Tensor, adapters: Sequence[str | None]) -> Session:
        """Begin a batch. mask: int64 (rows, longest), 0 on the left where a prompt is shorter.

        adapters: one name for each row, or None for no adapter; equal names stand together.
        """
        ...


@dataclass(frozen=True)
class Row:
    """A prompt to be answered.

    finished: called with the new tokens after each of them; True ends the row (stop strings).
    soft: (count, width), states that are read before the prompt; None where there are none.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    adapter: str | None = None
    finished: Finished | None = None
    soft: Tensor | None = None

    @property
    def ids(self) -> list[int]:
        """The prompt's ids, after a 0 in the place of each soft token."""
        return [*[0] * (0 if self.soft is None else len(self.soft)), *self.prompt]


def decode(
    decoder: Decoder,
    rows: Sequence[Row],
    *,
    ends: Collection[int],
    batch_size: int = 64,
    progress: Done | None = None,
) -> list[list[int]]:
    """New tokens of every row, in the order given, without the token of `ends` that ended it.

    progress: called with the number of rows answered and the number of all.
    Raises ValueError on an empty prompt or one that fills the model's positions.
    """
    _check_prompts(decoder, [row.ids for row in rows])
    answers: list[list[int]] = [[] for _ in rows]
    answered = 0
    for indices in _batches(rows, decoder.mixes, batch_size):
        batch = _decode_batch(decoder, [rows[index] for index in indices], ends)
        for index, answer in zip(indices, batch, strict=True):
            answers[index] = answer
        answered += len(indices)
        if progress is not None:
            progress(answered, len(rows))
    return answers


def stream(decoder: Decoder, row: Row, *, ends: Collection[int]) -> Iterator[int]:
    """The tokens that `decode` gives for one row, each as soon as it is known.

    Other rows may be decoded between two tokens. Raises ValueError at the call, as `decode` does.
    """
    _check_prompts(decoder, [row.ids])
    return _stream_tokens(decoder, row, ends)


def _stream_tokens(decoder: Decoder, row: Row, ends: Collection[int]) -> Iterator[int]:
    for step in _steps(decoder, [row], _budget(decoder, row)):
        (token,) = step.tokens
        if token in ends:
            return
        yield token


def greedy_decode(
    model: PreTrainedModel | Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_token_id: int,
    batch_size: int = 64,
    finished: Finished | None = None,
    progress: Done | None = None,
    soft: Sequence[Tensor | None] | None = None,
) -> list[list[int]]:
    """`decode` for prompts that are all asked alike, of any Hugging Face causal language model.

    soft: states (count, width) that a row begins with, before its prompt.
    """
    states = soft if soft is not None else [None] * len(prompts)
    rows = [
        Row(prompt, max_new_tokens, finished=finished, soft=of_row)
        for prompt, of_row in zip(prompts, states, strict=True)
    ]
    ends = (eos_token_id,)
    return decode(decoder_of(model), rows, ends=ends, batch_size=batch_size, progress=progress)


@torch.inference_mode()
def answer_log_probs(
    model: PreTrainedModel | Decoder,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    batch_size: int = 64,
    soft: Sequence[Tensor | None] | None = None,
) -> list[float]:
    """log p(answer | prompt) in nats, summed over the answer's tokens in float32.

    An answer that should account for its end carries the end-of-sequence token itself. soft:
    states (count, width) that a row begins with, before its prompt.
    """
    decoder = decoder_of(model)
    states = soft if soft is not None else [None] * len(prompts)
    prompts = [
        [*[0] * (0 if of_row is None else len(of_row)), *prompt]
        for of_row, prompt in zip(states, prompts, strict=True)
    ]
    _check_prompts(decoder, prompts)
    lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
    order = sorted(range(len(prompts)), key=lambda index: (lengths[index], index))
    sums = [0.0] * len(prompts)
    most = max([len(answer) + 1 for answer in answers], default=1)
    rows = max(1, min(batch_size, LOGITS_AT_ONCE // (most * decoder.vocabulary)))
    for start in range(0, len(order), rows):
        indices = order[start : start + rows]
        longest = max(len(answers[index]) for index in indices)
        if longest == 0:
            continue
        texts = [[*prompts[index], *answers[index]] for index in indices]
        ids, mask = left_padded(texts, decoder.device)
        # The token at t is predicted at t - 1, so `longest` answers need `longest + 1` positions.
        session = decoder.session(mask, [None] * len(indices))
        of_batch = soft_tokens(
            [states[index] for index in indices], list(map(len, texts)), decoder.device
        )
        logits = session.feed(ids, longest + 1, of_batch)
        log_probs = logits[:, :-1, :].float().log_softmax(dim=-1)
        of_tokens = log_probs.gather(2, ids[:, -longest:, None])[:, :, 0]  # (rows, longest)
        for row, index in enumerate(indices):
            count = len(answers[index])
            if count:
                sums[index] = float(of_tokens[row, longest - count :].sum())
    return sums


def decoder_of(model: PreTrainedModel | Decoder) -> Decoder:
    """The model itself where it is a decoder; else transformers' own forward pass as one."""
    if isinstance(model, Decoder):
        return model
    from nexus.transformers_decoder import TransformersDecoder

    return TransformersDecoder(model)


@dataclass
class Step:
    """One token for each row still in the batch. `keep` is set by the reader: rows that stay."""

    tokens: list[int]
    keep: list[int] | None = None


def _batches(rows: Sequence[Row], mixes: bool, size: int) -> Iterator[list[int]]:
    """Indices of rows of like length, those of an adapter side by side; of one where it must be."""

    def adapter(index: int) -> str:
        return rows[index].adapter or ""

    def place(index: int) -> tuple[int, int]:
        return len(rows[index].ids), index

    everything = sorted(range(len(rows)), key=place)
    groups = [everything]
    if not mixes:
        everything.sort(key=adapter)
        groups = [list(group) for _, group in groupby(everything, adapter)]
    for group in groups:
        for start in range(0, len(group), size):
            yield sorted(group[start : start + size], key=adapter)


def _decode_batch(decoder: Decoder, rows: Sequence[Row], ends: Collection[int]) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in rows]
    budgets = [_budget(decoder, row) for row in rows]
    alive = list(range(len(rows)))  # position in the batch -> row, or -1 once it is done
    for step in _steps(decoder, rows, max(budgets)):
        for position, token in enumerate(step.tokens):
            index = alive[position]
            if index < 0:
                continue
            answer, finished = answers[index], rows[index].finished
            ended = token in ends
            if not ended:
                answer.append(token)
            if (
                ended
                or len(answer) >= budgets[index]
                or (finished is not None and finished(answer))
            ):
                alive[position] = -1
        keep = [position for position, index in enumerate(alive) if index >= 0]
        if not keep:
            break
        # Taking rows out copies the cache, so it waits until an eighth of the batch is done.
        if len(keep) <= len(alive) - max(1, len(alive) // 8):
            step.keep = keep
            alive = [alive[position] for position in keep]
    return answers


def _steps(decoder: Decoder, rows: Sequence[Row], max_new_tokens: int) -> Iterator[Step]:
    """Feed the prompts, then each row's likeliest token, until the reader stops or all is said."""
    if max_new_tokens < 1:
        return
    ids, mask = left_padded([row.ids for row in rows], decoder.device)
    soft = soft_tokens([row.soft for row in rows], [len(row.ids) for row in rows], decoder.device)
    session = decoder.session(mask, [row.adapter for row in rows])
    for count in range(max_new_tokens):
        logits = session.feed(ids, 1, soft) if count == 0 else session.feed(ids)
        likeliest = logits[:, -1].argmax(dim=-1)  # (rows,)
        step = Step(likeliest.tolist())
        yield step
        if count + 1 == max_new_tokens:
            return
        if step.keep is not None:
            positions = torch.tensor(step.keep, device=decoder.device)
            session.keep(positions)
            likeliest = likeliest[positions]
        ids = likeliest[:, None]


def left_padded(
    texts: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Token ids, padded with 0 on the left, and their mask; both int64 (rows, longest)."""
    width = max(len(text) for text in texts)
    ids = [[0] * (width - len(text)) + list(text) for text in texts]
    mask = [[0] * (width - len(text)) + [1] * len(text) for text in texts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _budget(decoder: Decoder, row: Row) -> int:
    """How many tokens an answer may have: never more than there are positions."""
    return min(row.max_new_tokens, decoder.positions - len(row.ids))


def _check_prompts(decoder: Decoder, prompts: Sequence[Sequence[int]]) -> None:
    """Refuse prompts that leave no room for an answer."""
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} has no tokens; a prompt needs at least one")
        if len(prompt) >= decoder.positions:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens and the model has {decoder.positions} "
                "positions; shorten the prompt"
            )
