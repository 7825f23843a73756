"""Where a decoder's blocks, heads and MLP neurons are, found by watching it run.

No class names: the blocks are the outermost list of modules that hold matrices. Inside a block a
probe of two texts that differ everywhere but at the last position tells attention from MLP: the
first matrix whose input differs at that last position is fed by attention, so it is the matrix
that mixes the heads back into the residual stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

PROBE_TOKENS = 5
# Two inputs count as different above this share of their size: far above rounding, far below what
# attention to other tokens does.
PROBE_DIFFERENCE = 1e-3


class StructureError(ValueError):
    """The model is not understood; the message says what was looked for and what was found."""


@dataclass(frozen=True)
class Block:
    """One layer: reads the residual stream, adds to it.

    heads_out: the matrix whose input is (..., heads * head_width), the heads side by side.
    neurons_out: the matrix whose input is (..., neurons), the MLP's activations.
    groups: heads that share keys and values form one; `heads` of them where none are shared.
    tuple_length: None where the block returns the stream itself, else the length of its tuple.
    """

    index: int
    name: str
    module: nn.Module
    heads_out: nn.Module
    neurons_out: nn.Module
    heads: int
    groups: int
    head_width: int
    neurons: int
    tuple_length: int | None


@dataclass(frozen=True)
class Structure:
    """A decoder-only language model taken apart. output: the matrix that makes the logits."""

    model: PreTrainedModel
    blocks: tuple[Block, ...]
    output: nn.Module
    hidden_size: int


@dataclass
class _Matrix:
    name: str
    module: nn.Module
    in_width: int
    out_width: int
    mixed: bool


@dataclass
class _Sight:
    """What the probe saw of one block; matrices in the order they ran."""

    matrices: list[_Matrix]
    tuple_length: int | None = None
    width: int = 0


def find_structure(model: PreTrainedModel) -> Structure:
    """Take a causal language model apart.

    Raises StructureError where no single stack of blocks with attention and an MLP is found.
    """
    name = type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise StructureError(
            f"{name} is an encoder-decoder. A single stack of blocks, each reading and writing "
            "one residual stream, was looked for; profile a decoder-only model."
        )
    output = model.get_output_embeddings()
    if output is None:
        raise StructureError(
            f"{name} has no output embedding: a matrix from the residual stream to the "
            "vocabulary, as get_output_embeddings() gives it, was looked for."
        )
    list_name, modules = _block_list(model)
    sights = _probe(model, list_name, modules)
    config = model.config.get_text_config(decoder=True)
    blocks = tuple(
        _block(config, index, f"{list_name}.{index}", module, sight)
        for index, (module, sight) in enumerate(zip(modules, sights, strict=True))
    )
    return Structure(model, blocks, output, sights[0].width)


def _block_list(model: PreTrainedModel) -> tuple[str, list[nn.Module]]:
    found: dict[str, list[nn.Module]] = {}
    for name, module in model.named_modules():
        inside_another = any(name.startswith(f"{outer}.") for outer in found)
        if not isinstance(module, nn.ModuleList) or inside_another or len(module) == 0:
            continue
        members = list(module)
        if all(sum(1 for _ in _matrices(member)) >= 2 for member in members):
            found[name] = members
    if len(found) != 1:
        seen = ", ".join(f"{name} ({len(members)})" for name, members in found.items()) or "none"
        raise StructureError(
            f"{type(model).__name__}: one list of blocks was looked for (a ModuleList each of "
            f"whose members holds at least two matrices); found: {seen}. Decoder-only causal "
            "language models are understood."
        )
    return next(iter(found.items()))


def _matrices(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Leaves that multiply by a matrix: nn.Linear, GPT-2's Conv1D, quantised ones alike."""
    for name, leaf in module.named_modules():
        weight = getattr(leaf, "weight", None)
        is_leaf = next(leaf.children(), None) is None and not isinstance(leaf, nn.Embedding)
        if is_leaf and isinstance(weight, Tensor) and weight.ndim == 2:
            yield name, leaf


def stream_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The residual stream among a block's arguments, (rows, tokens, hidden)."""
    stream: Tensor = args[0] if args else kwargs["hidden_states"]
    return stream


def with_stream_in(
    args: tuple[Any, ...], kwargs: dict[str, Any], stream: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments with another residual stream."""
    if args:
        return (stream, *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": stream}


def _probe(model: PreTrainedModel, list_name: str, modules: list[nn.Module]) -> list[_Sight]:
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    first = torch.arange(PROBE_TOKENS)
    second = torch.arange(PROBE_TOKENS) + PROBE_TOKENS
    second[-1] = first[-1]
    ids = (torch.stack([first, second]) % vocabulary).to(model.device)
    sights = [_Sight([]) for _ in modules]
    with ExitStack() as hooks, torch.no_grad():
        for module, sight in zip(modules, sights, strict=True):
            hooks.enter_context(_watched(module, sight))
        model(input_ids=ids, use_cache=False)
    for index, sight in enumerate(sights):
        if not sight.width:
            raise StructureError(
                f"{type(model).__name__}: block {list_name}.{index} did not run on a probe of "
                f"{PROBE_TOKENS} tokens; every block of the list was expected to."
            )
    return sights


@contextmanager
def _watched(module: nn.Module, sight: _Sight) -> Iterator[None]:
    def before(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        stream = stream_in(args, kwargs).clone()
        stream[1, -1] = stream[0, -1]
        sight.width = stream.shape[-1]
        return with_stream_in(args, kwargs, stream)

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        sight.tuple_length = len(output) if isinstance(output, tuple) else None

    def matrix(name: str) -> Any:
        def hook(leaf: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            last = args[0].reshape(2, -1, args[0].shape[-1])[:, -1].float()  # (2, width)
            difference = float((last[0] - last[1]).norm())
            mixed = difference > PROBE_DIFFERENCE * float(last.norm())
            sight.matrices.append(_Matrix(name, leaf, args[0].shape[-1], output.shape[-1], mixed))

        return hook

    handles = [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
    ]
    handles += [leaf.register_forward_hook(matrix(name)) for name, leaf in _matrices(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _block(config: Any, index: int, name: str, module: nn.Module, sight: _Sight) -> Block:
    seen = ", ".join(
        f"{m.name} {m.in_width}->{m.out_width}{' (fed by attention)' if m.mixed else ''}"
        for m in sight.matrices
    )
    heads_out = next((m for m in sight.matrices if m.mixed and m.out_width == sight.width), None)
    if heads_out is None:
        raise StructureError(
            f"block {name}: a matrix from the heads back to the residual stream (output width "
            f"{sight.width}, its input depending on other tokens) was looked for; ran: {seen}"
        )
    attention = heads_out.name.rpartition(".")[0] + "."
    outside = [
        m
        for m in sight.matrices
        if m.out_width == sight.width
        and m is not heads_out
        and not (attention != "." and m.name.startswith(attention))
    ]
    if not outside:
        raise StructureError(
            f"block {name}: an MLP's last matrix (output width {sight.width}, outside "
            f"attention, which is {attention[:-1] or heads_out.name}) was looked for; ran: {seen}"
        )
    heads = int(config.num_attention_heads)
    if heads_out.in_width % heads:
        raise StructureError(
            f"block {name}: {heads_out.name} reads {heads_out.in_width} values, which {heads} "
            "heads (num_attention_heads of the configuration) do not divide."
        )
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    return Block(
        index=index,
        name=name,
        module=module,
        heads_out=heads_out.module,
        neurons_out=outside[-1].module,
        heads=heads,
        groups=groups if heads % groups == 0 else heads,
        head_width=heads_out.in_width // heads,
        neurons=outside[-1].in_width,
        tuple_length=sight.tuple_length,
    )
