"""Changes to a running model that are undone when their `with` ends.

Blocks removed, the residual stream read, replaced or resumed from a kept prefix, heads gated:
everything that the stages of a profile do to a teacher. Weights are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from targets.profile.structure import Block, Structure, stream_in

ReadStream = Callable[[Tensor], None]
ChangeStream = Callable[[Tensor], Tensor]


def stream_out(output: Any) -> Tensor:
    """The residual stream in what a block returned, (rows, tokens, hidden)."""
    stream: Tensor = output[0] if isinstance(output, tuple) else output
    return stream


def _returned(block: Block, stream: Tensor) -> Any:
    """What the block would return, holding `stream`."""
    if block.tuple_length is None:
        return stream
    return (stream, *(None for _ in range(block.tuple_length - 1)))


@contextmanager
def _handles(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def reading(readers: Mapping[int, ReadStream], structure: Structure) -> Iterator[None]:
    """Each reader sees the stream that leaves its block."""

    def hook(read: ReadStream) -> Any:
        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            read(stream_out(output))

        return after

    blocks = structure.blocks
    with _handles(
        [blocks[i].module.register_forward_hook(hook(read)) for i, read in readers.items()]
    ):
        yield


@contextmanager
def reading_input(module: nn.Module, read: ReadStream) -> Iterator[None]:
    """`read` sees the first argument of a matrix."""

    def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
        read(args[0])

    with _handles([module.register_forward_pre_hook(before)]):
        yield


@contextmanager
def changing_input(module: nn.Module, change: ChangeStream) -> Iterator[None]:
    """The matrix multiplies `change(input)` instead of its input."""

    def before(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(args[0]), *args[1:])

    with _handles([module.register_forward_pre_hook(before)]):
        yield


@contextmanager
def changing(changes: Mapping[int, ChangeStream], structure: Structure) -> Iterator[None]:
    """The stream that leaves a block is replaced by what `change` makes of it."""

    def hook(change: ChangeStream) -> Any:
        def after(_module: nn.Module, _args: Any, output: Any) -> Any:
            stream = change(stream_out(output))
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return after

    blocks = structure.blocks
    with _handles(
        [blocks[i].module.register_forward_hook(hook(change)) for i, change in changes.items()]
    ):
        yield


@contextmanager
def removed(indices: Collection[int], structure: Structure) -> Iterator[None]:
    """These blocks add nothing to the stream. They still run, so that caches stay in step."""

    def after(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        stream = stream_in(args, kwargs)
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    with _handles(
        [
            structure.blocks[index].module.register_forward_hook(after, with_kwargs=True)
            for index in indices
        ]
    ):
        yield


@contextmanager
def resumed(
    start: int, stream: Tensor | None, indices: Collection[int], structure: Structure
) -> Iterator[None]:
    """Blocks below `start` cost nothing and hand on `stream`; those in `indices` are passed by.

    stream: what block `start` read in the whole model, (rows, tokens, hidden); None for start 0.
    The model's own forward does the rest, so masks, positions and the head are its own. Not for
    use with a cache: blocks that are passed by leave nothing in it.
    """

    def hand_on(block: Block) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if stream is not None and block.index < start:
                return _returned(block, stream)
            return _returned(block, stream_in(args, kwargs))

        return forward

    passed = [b for b in structure.blocks if b.index < start or b.index in indices]
    for block in passed:
        block.module.forward = hand_on(block)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in passed:
            del block.module.forward


@contextmanager
def logits_at(rows: Tensor, positions: Tensor, structure: Structure) -> Iterator[None]:
    """Only these places of the batch get logits: the model returns (places, vocabulary)."""

    def pick(stream: Tensor) -> Tensor:
        return stream[rows, positions]

    with changing_input(structure.output, pick):
        yield


def run_blocks(structure: Structure, ids: Tensor) -> None:
    """Pass token ids (rows, tokens) through the blocks for what hooks see; no logits are made."""
    place = torch.zeros(1, dtype=torch.long, device=ids.device)
    with logits_at(place, place, structure):
        structure.model(input_ids=ids, use_cache=False)


@contextmanager
def gated_heads(gates: Mapping[int, Tensor], structure: Structure) -> Iterator[None]:
    """Each head's output times its gate; gates are (rows or 1, heads) per block."""

    def gate(block: Block, factors: Tensor) -> ChangeStream:
        def change(heads: Tensor) -> Tensor:
            apart = heads.unflatten(-1, (block.heads, block.head_width))
            return (apart * factors[:, None, :, None].to(heads.dtype)).flatten(-2)

        return change

    with ExitStack() as stack:
        for index, factors in gates.items():
            block = structure.blocks[index]
            stack.enter_context(changing_input(block.heads_out, gate(block, factors)))
        yield


@contextmanager
def first_tokens(structure: Structure, note: Callable[[Tensor | None], None]) -> Iterator[None]:
    """Before each pass, `note` gets the column of every row's first token, or None.

    None where the pass continues a cached text, so that no first token is in it.
    """

    def before(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length() > 0:
            note(None)
            return
        mask = kwargs.get("attention_mask")
        if mask is None:
            note(torch.zeros(ids.shape[0], dtype=torch.long, device=ids.device))
        else:
            note(mask.long().argmax(dim=1))

    with _handles([structure.model.register_forward_pre_hook(before, with_kwargs=True)]):
        yield
