"""Changes to a running model that are undone when their `with` ends.

Blocks removed, the residual stream read, replaced or resumed from a kept prefix, heads gated:
everything that the stages of a profile do to a teacher. Weights are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from opened_models.batches import Batch
from opened_models.structure import Attention, Block, Structure, stream_in

ReadStream = Callable[[Tensor], None]
ChangeStream = Callable[[Tensor], Tensor]


def stream_out(output: Any) -> Tensor:
    """The residual stream in what a block returned, (rows, tokens, hidden)."""
    stream: Tensor = output[0] if isinstance(output, tuple) else output
    return stream


@dataclass
class Pass:
    """What a pass of the whole model showed, for passes that begin further up; in memory alone.

    left: by block, the stream that left it, (rows, tokens, width). beside: what it returned
    besides the stream (T5 hands a bias of positions on that way).
    """

    left: list[Tensor] = field(default_factory=list)
    beside: list[tuple[Any, ...]] = field(default_factory=list)

    @contextmanager
    def kept(self, structure: Structure) -> Iterator[None]:
        """The next pass is the one that is kept."""

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            self.left.append(stream_out(output))
            self.beside.append(output[1:] if isinstance(output, tuple) else ())

        with _handles([block.module.register_forward_hook(after) for block in structure.blocks]):
            yield


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
        def after(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> Any:
            stream = change(stream_out(output))
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return after

    with _handles(
        [_first_hook(structure, index, hook(change)) for index, change in changes.items()]
    ):
        yield


def _first_hook(structure: Structure, index: int, hook: Callable[..., Any]) -> Any:
    """A hook before all others: models that collect the states of some block see what it leaves."""
    module = structure.blocks[index].module
    return module.register_forward_hook(hook, prepend=True, with_kwargs=True)


@contextmanager
def remove_blocks(indices: Collection[int], structure: Structure) -> Iterator[None]:
    """These blocks add nothing to the stream. They still run, so that caches stay in step."""

    def after(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        stream = stream_in(args, kwargs)
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    with _handles([_first_hook(structure, index, after) for index in indices]):
        yield


@contextmanager
def resume_at(
    start: int, whole: Pass | None, indices: Collection[int], structure: Structure
) -> Iterator[None]:
    """Blocks below `start` cost nothing and hand on what they did in the whole model's pass.

    Those in `indices` are passed by. whole: not needed for start 0. The model's own forward does
    the rest, so masks, positions and the head are its own. Not for use with a cache: blocks that
    are passed by leave nothing in it.
    """

    def hand_on(block: Block) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if whole is not None and block.index < start:
                stream = whole.left[block.index]
            else:
                stream = stream_in(args, kwargs)
            if block.tuple_length is None:
                return stream
            if whole is not None:
                return (stream, *whole.beside[block.index])
            return (stream, *(None for _ in range(block.tuple_length - 1)))

        return forward

    passed = [b for b in structure.blocks if b.index < start or b.index in indices]
    before = [block.module.__dict__.get("forward") for block in passed]
    for block in passed:
        block.module.forward = hand_on(block)
    try:
        yield
    finally:
        for block, forward in zip(passed, before, strict=True):
            del block.module.forward
            if forward is not None:
                block.module.forward = forward


@contextmanager
def logits_at(rows: Tensor, positions: Tensor, structure: Structure) -> Iterator[None]:
    """Only these places of the batch get logits: the model returns (places, vocabulary)."""

    def pick(stream: Tensor) -> Tensor:
        return stream[rows, positions]

    assert structure.output is not None
    with changing_input(structure.output, pick):
        yield


def run_model(structure: Structure, batch: Batch) -> Any:
    """The model's output for a batch, without a cache."""
    options = {"use_cache": False} if structure.output is not None else {}
    return structure.model(**batch.inputs, **options)


def run_blocks(structure: Structure, batch: Batch) -> None:
    """Pass a batch through the blocks for what hooks see; no logits are made."""
    place = torch.zeros(1, dtype=torch.long, device=structure.model.device)
    with ExitStack() as stack:
        if structure.output is not None:
            stack.enter_context(logits_at(place, place, structure))
        run_model(structure, batch)


@contextmanager
def gated_heads(gates: Mapping[int, Tensor], structure: Structure) -> Iterator[None]:
    """Each head's output times its gate; gates are (rows or 1, heads) per block."""

    def gate(attention: Attention, factors: Tensor) -> ChangeStream:
        def change(heads: Tensor) -> Tensor:
            shape = (attention.heads, attention.head_width)
            apart: Tensor = heads.unflatten(-1, shape)  # type: ignore[no-untyped-call]
            return (apart * factors[:, None, :, None].to(heads.dtype)).flatten(-2)

        return change

    with ExitStack() as stack:
        for index, factors in gates.items():
            attentions = structure.blocks[index].attentions
            counts = [attention.heads for attention in attentions]
            parts = factors.split(counts, dim=1)  # type: ignore[no-untyped-call]
            for attention, part in zip(attentions, parts, strict=True):
                stack.enter_context(changing_input(attention.out, gate(attention, part)))
        yield


@contextmanager
def reading_neurons(block: Block, read: ReadStream) -> Iterator[None]:
    """`read` sees the MLP's activations, (..., neurons); of experts, the weight of each."""
    if block.experts is None:
        assert block.neurons_out is not None
        with reading_input(block.neurons_out, read):
            yield
        return

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
        chosen = next(one for one in given if not one.is_floating_point())  # (tokens, chosen)
        weights = next(
            one for one in given if one.is_floating_point() and one.shape == chosen.shape
        )
        # Some models name an expert that is not there where a token wants none.
        dense = weights.new_zeros(chosen.shape[0], block.neurons + 1)
        read(dense.scatter_add(1, chosen.long(), weights)[:, : block.neurons])

    with _handles([block.experts.register_forward_pre_hook(before, with_kwargs=True)]):
        yield


@contextmanager
def first_tokens(structure: Structure, note: Callable[[Tensor | None], None]) -> Iterator[None]:
    """Before each pass, `note` gets the column of every row's first token, or None.

    None where the pass continues a cached text, so that no first token is in it.
    """

    def before(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            return
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
