"""What a model is made of: stacks of blocks, each with heads and neurons; see `probing` for how.

No class names and no configuration's words: a block is what holds attention, attention is a
softmax over tokens, heads are the rows of that softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from opened_models.blocks import StructureError, block_lists
from opened_models.example_inputs import example_inputs
from opened_models.probing import BlockSight, watch

__all__ = ["Attention", "Block", "Structure", "StructureError", "Tower", "find_structure"]


@dataclass(frozen=True)
class Attention:
    """out: the matrix whose input is (..., heads * head_width), the heads side by side.

    groups: heads that share keys and values form one; `heads` of them where none are shared.
    """

    out: nn.Module
    heads: int
    groups: int
    head_width: int


@dataclass(frozen=True)
class Block:
    """One layer: reads a residual stream of this width, adds to it.

    attentions: to its own tokens, then, in a decoder that reads an encoder, to the encoder's.
    neurons_out: the matrix whose input is (..., neurons), the MLP's activations. In a mixture of
    experts it is None, and `experts` is the module that is handed each token's choice of them:
    there the `neurons` are the experts, and their activations the weights given to them.
    tuple_length: None where the block returns the stream itself, else the length of its tuple.
    """

    index: int
    tower: str
    name: str
    module: nn.Module
    width: int
    attentions: tuple[Attention, ...]
    neurons_out: nn.Module | None
    experts: nn.Module | None
    neurons: int
    tuple_length: int | None

    @property
    def heads(self) -> int:
        """Heads of all its attentions, in their order."""
        return sum(attention.heads for attention in self.attentions)

    @property
    def groups(self) -> int:
        """Groups of equally many heads, of all its attentions; `heads` where sizes differ."""
        sizes = {attention.heads // attention.groups for attention in self.attentions}
        return self.heads // sizes.pop() if len(sizes) == 1 else self.heads


@dataclass(frozen=True)
class Tower:
    """Blocks that share a residual stream. first, count: its blocks among all, as they run.

    first_alone: the first token's state depends on no other token, so that it says nothing of
    the text and often serves as a sink of attention.
    """

    name: str
    first: int
    count: int
    width: int
    first_alone: bool


@dataclass(frozen=True)
class Structure:
    """A model taken apart.

    blocks: of all towers, in the order in which they run. output: the matrix that makes the
    logits; None where the model answers nothing. hidden_size: width of the last tower.
    """

    model: PreTrainedModel
    towers: tuple[Tower, ...]
    blocks: tuple[Block, ...]
    output: nn.Module | None

    @property
    def answering(self) -> Tower:
        """The tower that the answers, or the representation, come from."""
        return self.towers[-1]

    @property
    def hidden_size(self) -> int:
        """Width of the answering tower."""
        return self.answering.width

    def tower_of(self, block: Block) -> Tower:
        """The tower that a block is part of."""
        return next(tower for tower in self.towers if tower.name == block.tower)


def find_structure(model: PreTrainedModel, *, media: bool = False) -> Structure:
    """Take a transformer apart by running it once on two made-up rows.

    media: whether a model that reads text is run with an image too: blocks that see images only
    are found only then. Raises StructureError where no stack of blocks with attention and an MLP
    is found.
    """
    lists = block_lists(model)
    seen = watch(model, lists, example_inputs(model, media=media))
    blocks: list[Block] = []
    towers: list[Tower] = []
    for name, sights in seen.items():
        towers.append(_tower(name, len(blocks), sights))
        blocks += [_block(len(blocks) + place, name, sight) for place, sight in enumerate(sights)]
    output = model.get_output_embeddings() if model.can_generate() else None
    if model.can_generate() and output is None:
        raise StructureError(
            f"{type(model).__name__} answers in text but has no output embedding: a matrix from "
            "the residual stream to the vocabulary, as get_output_embeddings() gives it, was "
            "looked for."
        )
    return Structure(model, tuple(towers), tuple(blocks), output)


def _tower(name: str, first: int, sights: list[BlockSight]) -> Tower:
    widths = sorted({sight.width for sight in sights})
    if len(widths) != 1:
        raise StructureError(
            f"{name}: one residual stream that all its blocks read and write was looked for; its "
            f"blocks read widths {widths}"
        )
    return Tower(name, first, len(sights), widths[0], all(sight.first_alone for sight in sights))


def _block(index: int, tower: str, sight: BlockSight) -> Block:
    attentions = tuple(
        Attention(
            seen.out.module,
            seen.heads,
            _groups(seen.projected, seen.heads, seen.out.in_width // seen.heads),
            seen.out.in_width // seen.heads,
        )
        for seen in sight.attentions()
    )
    neurons_out, experts = sight.mlp()
    return Block(
        index=index,
        tower=tower,
        name=sight.name,
        module=sight.module,
        width=sight.width,
        attentions=attentions,
        neurons_out=neurons_out.module if neurons_out and not experts else None,
        experts=experts.module if experts else None,
        neurons=experts.count if experts else neurons_out.in_width if neurons_out else 0,
        tuple_length=sight.tuple_length,
    )


def _groups(projected: int, heads: int, head_width: int) -> int:
    """Queries, keys and values together are `heads` and twice the groups wide, fused or not.

    Where that does not come out (keys made by way of a narrower state), no heads share any.
    """
    groups = (projected // head_width - heads) // 2
    whole = projected == (heads + 2 * groups) * head_width and 0 < groups <= heads
    return groups if whole and heads % groups == 0 else heads


def stream_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The residual stream among a block's arguments, (rows, tokens, width)."""
    stream: Tensor = args[0] if args else kwargs["hidden_states"]
    return stream
