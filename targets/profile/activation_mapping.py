"""Stage 2: how often and how strongly neurons and heads act, as running statistics.

The capability is where the model predicts its answers; the background is the rest of the text, the
prompts. Only sums are kept: nothing here grows with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from opened_models.batches import Batch
from opened_models.structure import Attention, Block, Structure
from opened_models.surgery import ReadStream, reading_input, reading_neurons


@dataclass(frozen=True)
class NeuronStatistics:
    """Per neuron of one block, on answers and on background; float32 (neurons,).

    frequency: share of tokens at which the neuron fires, that is, its magnitude is above the mean
    of its block's neurons there. That holds for any activation function and scale. In a mixture
    of experts the neurons are the experts, and their magnitudes the weights given to them.
    magnitude: mean absolute activation.
    """

    frequency: Tensor
    magnitude: Tensor
    background_frequency: Tensor
    background_magnitude: Tensor

    def selectivity(self) -> Tensor:
        """How much oftener a neuron fires on answers than on background, -1 to 1; (neurons,)."""
        return self.frequency - self.background_frequency


@dataclass(frozen=True)
class HeadStatistics:
    """Mean Euclidean norm of each head's output, on answers and background; (heads,)."""

    magnitude: Tensor
    background_magnitude: Tensor


class ActivationMap:
    """Sums over all batches that ran while `watching` them."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self._tokens = [self._zeros(1) for _ in structure.blocks]
        self._fired = [self._zeros(block.neurons) for block in structure.blocks]
        self._neurons = [self._zeros(block.neurons) for block in structure.blocks]
        self._heads = [self._zeros(block.heads) for block in structure.blocks]

    def _zeros(self, width: int) -> Tensor:
        """Sums on answers and on background; (2, width)."""
        return torch.zeros(2, width, dtype=torch.float64, device=self.structure.model.device)

    def state(self) -> dict[str, list[Tensor]]:
        """All sums, for a checkpoint."""
        return {
            "tokens": self._tokens,
            "fired": self._fired,
            "neurons": self._neurons,
            "heads": self._heads,
        }

    def restore(self, state: Mapping[str, list[Tensor]]) -> None:
        """Go on from what `state` returned."""
        for name, sums in self.state().items():
            for ours, theirs in zip(sums, state[name], strict=True):
                ours.copy_(theirs)

    @contextmanager
    def watching(self, batch: Batch) -> Iterator[None]:
        """Take in the next pass, which must be over this batch."""
        with ExitStack() as stack:
            for block in self.structure.blocks:
                stack.enter_context(reading_neurons(block, self._neurons_of(block, batch)))
                first = 0
                for attention in block.attentions:
                    heads = self._heads_of(block, attention, first, batch)
                    stack.enter_context(reading_input(attention.out, heads))
                    first += attention.heads
            yield

    def _neurons_of(self, block: Block, batch: Batch) -> ReadStream:
        def read(neurons: Tensor) -> None:
            size = neurons.reshape(-1, block.neurons).float().abs()  # (rows * tokens, neurons)
            sides = batch.sides_of(block.tower, len(size)).float()
            fires = (size > size.mean(dim=1, keepdim=True)).float()
            self._tokens[block.index] += sides.sum(dim=1, keepdim=True).double()
            self._fired[block.index] += (sides @ fires).double()
            self._neurons[block.index] += (sides @ size).double()

        return read

    def _heads_of(self, block: Block, attention: Attention, first: int, batch: Batch) -> ReadStream:
        span = slice(first, first + attention.heads)

        def read(heads: Tensor) -> None:
            apart = heads.reshape(-1, attention.heads, attention.head_width).float()
            sides = batch.sides_of(block.tower, len(apart)).float()
            self._heads[block.index][:, span] += (sides @ apart.norm(dim=2)).double()

        return read

    def neurons(self, layer: int) -> NeuronStatistics:
        """What was seen of one block's MLP."""
        counts = self._tokens[layer].clamp(min=1)
        fired = (self._fired[layer] / counts).float().cpu()
        size = (self._neurons[layer] / counts).float().cpu()
        return NeuronStatistics(fired[0], size[0], fired[1], size[1])

    def heads(self, layer: int) -> HeadStatistics:
        """What was seen of one block's heads."""
        size = (self._heads[layer] / self._tokens[layer].clamp(min=1)).float().cpu()
        return HeadStatistics(size[0], size[1])
