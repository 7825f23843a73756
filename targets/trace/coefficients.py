"""Coefficients at a profile's key layers, for anchors: of the residual stream, and of its heads.

z = (h - mean) B / deviation: what the activation anchors compare with, and all that is kept of a
state h. For the attention anchors h is what the block's important heads together add to the stream,
in the first directions of the same basis; no attention map is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from modalities.json_files import read_json
from modalities.text.sequences import Batch
from opened_models.structure import Block, find_structure
from opened_models.surgery import reading, reading_input

# The important heads of a block are those that hold this share of its heads' importance.
HEADS_SHARE = 0.8
HEADS_DIRECTIONS = 32

Forward = Callable[[], Tensor]
Coefficients = dict[str, NDArray[np.float16]]
Reader = Callable[[Forward, Batch], tuple[Tensor, Coefficients]]
Basis = tuple[Tensor, Tensor, Tensor]


def coefficient_reader(model: PreTrainedModel, inputs: Mapping[str, Path], rows: int) -> Reader:
    """A way to run the model that also returns coefficients at the answer positions.

    `activation/<layer>` and `attention/<layer>` -> (answers, k) float16. Where no row wants any,
    the model runs as it is. Key layers of an encoder are left out: its states stand at positions of
    the prompt.
    """
    if rows == 0:
        return lambda forward, _batch: (forward(), {})
    profile = inputs["profile"]
    structure = find_structure(model)
    key_layers = [int(layer) for layer in read_json(profile / "profile.json")["key_layers"]]
    layers = [layer for layer in key_layers if layer >= structure.answering.first]
    bases = {layer: _basis(profile / f"layer_{layer}_basis.npz", model) for layer in layers}
    importance = read_json(profile / "heads_importance.json")["heads"]
    heads = {layer: important_heads(importance[str(layer)]) for layer in layers}

    def read(forward: Forward, batch: Batch) -> tuple[Tensor, Coefficients]:
        streams: dict[int, Tensor] = {}
        with ExitStack() as stack:
            keepers = {layer: _keeper(streams, layer) for layer in layers}
            stack.enter_context(reading(keepers, structure))
            sides = {
                layer: stack.enter_context(_heads_outputs(structure.blocks[layer]))
                for layer in layers
            }
            log_probs = forward()
        found: Coefficients = {}
        for layer in layers:
            matrix, mean, deviations = bases[layer]
            states = _at_answers(streams[layer], batch) - mean
            found[f"activation/{layer}"] = _half(states @ matrix / deviations)
            added = _sum_of_heads(structure.blocks[layer], sides[layer], heads[layer], batch)
            first = slice(HEADS_DIRECTIONS)
            found[f"attention/{layer}"] = _half(added @ matrix[:, first] / deviations[first])
        return log_probs, found

    return read


def important_heads(importance: Sequence[float]) -> list[int]:
    """The fewest heads that together hold HEADS_SHARE of the importance of all, ascending."""
    ranked = np.argsort(importance, kind="stable")[::-1]
    held = np.cumsum(np.asarray(importance)[ranked])
    return sorted(ranked[: int(np.searchsorted(held, HEADS_SHARE * held[-1])) + 1].tolist())


def _keeper(into: dict[int, Tensor], layer: int) -> Callable[[Tensor], None]:
    def keep(stream: Tensor) -> None:
        into[layer] = stream

    return keep


@contextmanager
def _heads_outputs(block: Block) -> Iterator[dict[int, Tensor]]:
    """By attention of the block what its heads hand to its output matrix."""
    seen: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for place, attention in enumerate(block.attentions):
            stack.enter_context(reading_input(attention.out, _keeper(seen, place)))
        yield seen


def _sum_of_heads(
    block: Block, sides: Mapping[int, Tensor], heads: Sequence[int], batch: Batch
) -> Tensor:
    """What these heads add to the stream at the answer positions, (answers, hidden) float32."""
    total, before = torch.zeros(()), 0
    for place, attention in enumerate(block.attentions):
        outputs = sides[place][batch.where[:, 0], batch.where[:, 1]]
        kept = [head - before for head in heads if 0 <= head - before < attention.heads]
        shape = (attention.heads, attention.head_width)
        apart = outputs.unflatten(-1, shape)  # type: ignore[no-untyped-call]
        gate = torch.zeros(attention.heads, 1).to(outputs)
        gate[kept] = 1
        # The matrix itself, whatever its storage; what it adds without any head is no head's.
        nothing = attention.out(torch.zeros_like(outputs[:1]))
        added = attention.out((apart * gate).flatten(-2)) - nothing
        total = total.to(added.device) + added.float()
        before += attention.heads
    return total


def _at_answers(stream: Tensor, batch: Batch) -> Tensor:
    return stream[batch.where[:, 0], batch.where[:, 1]].float()  # (answers, hidden)


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.half().cpu().numpy()


def _basis(file: Path, model: PreTrainedModel) -> Basis:
    """Basis (hidden, k), mean (hidden,) and deviations (k,), float32, where the model is."""
    arrays: Any = np.load(file)
    matrix, mean, deviations = (
        torch.from_numpy(arrays[name].astype(np.float32)).to(model.device)
        for name in ("basis", "mean", "deviations")
    )
    return matrix, mean, deviations.clamp(min=1e-6)
