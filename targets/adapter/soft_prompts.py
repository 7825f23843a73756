"""What rows read besides text while an adapter trains: frozen states, and a projection that learns.

The intakes are the packed encoders, exactly as they ship. Their states of every row are made once
and stay in memory; a linear map for each medium brings them to the backbone's width, and is trained
with the adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nexus.media.intake import Intake
from nexus.soft_tokens import SoftTokens

Parts = Mapping[str, Any]


class TrainableProjection:
    """A matrix and a bias for each medium. reads: media in the order of their soft tokens."""

    def __init__(
        self, reads: Sequence[str], intakes: Mapping[str, Intake], embedding: Tensor, seed: int
    ) -> None:
        """embedding: the backbone's, (vocabulary, width); soft tokens begin at its scale."""
        self.reads = tuple(reads)
        self.intakes = dict(intakes)
        generator = torch.Generator().manual_seed(seed)
        width, scale = embedding.shape[1], float(embedding.std())
        self.parameters: dict[str, Tensor] = {}
        for medium in self.reads:
            inner = intakes[medium].width
            drawn = torch.randn(width, inner, generator=generator) * scale / inner**0.5
            self.parameters[f"{medium}.weight"] = drawn.to(embedding.device).requires_grad_()
            bias = torch.zeros(width, device=embedding.device)
            self.parameters[f"{medium}.bias"] = bias.requires_grad_()

    def states(self, parts: Parts) -> dict[str, Tensor]:
        """By medium the frozen states of one row, (count, intake width)."""
        return {medium: self.intakes[medium].states(parts[medium]) for medium in self.reads}

    def soft(self, states: Mapping[str, Tensor]) -> Tensor:
        """(count, backbone width), differentiable in the projection."""
        return torch.cat(
            [
                functional.linear(
                    states[medium].to(self.parameters[f"{medium}.bias"]),
                    self.parameters[f"{medium}.weight"],
                    self.parameters[f"{medium}.bias"],
                )
                for medium in self.reads
            ]
        )

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored."""
        return {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.parameters.items()
        }


class SoftPrompts:
    """The soft tokens of some rows, by a projection as it stands at that moment."""

    def __init__(self, projection: TrainableProjection, rows: Sequence[Parts]) -> None:
        """rows: the parts of each, media files as paths. Raises ValueError naming the row that
        lacks a part or holds one that cannot be read.
        """
        self.projection = projection
        self._states = []
        for number, parts in enumerate(rows):
            try:
                self._states.append(projection.states(parts))
            except (KeyError, ValueError) as error:
                raise ValueError(f"row {number}: {error}") from error

    def count(self, row: int) -> int:
        """How many soft tokens a row begins with."""
        return sum(len(states) for states in self._states[row].values())

    def of_row(self, row: int) -> Tensor:
        """(count, backbone width)."""
        return self.projection.soft(self._states[row])

    def of_batch(self, rows: Sequence[int]) -> SoftTokens:
        """Of rows that are padded on the right, so that each begins at position 0."""
        found = [self.of_row(row) for row in rows]
        lines = [line for line, states in enumerate(found) for _ in range(len(states))]
        places = [place for states in found for place in range(len(states))]
        states = torch.cat(found)
        return SoftTokens(
            torch.tensor(lines, device=states.device),
            torch.tensor(places, device=states.device),
            states,
        )
