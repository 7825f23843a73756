"""One forward pass of a model that is taken apart: its arguments, and which positions count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# What a row of image or sound alone counts for, in tokens: about as many as it has positions.
MEDIA_TOKENS = 256


@dataclass(frozen=True)
class Batch:
    """samples: index of each row's sample. inputs: the forward's arguments, by name.

    answer_rows, answer_positions, targets: which places of the answering tower predict a token of
    the answer, and what it is; all (answer tokens,). sides: by tower, of every position whether it
    is of the answer and whether it is of the rest that counts; bool (2, rows, tokens). In a tower
    that has none (an image's patches, a sound's frames) all positions are on `media_side`: 0 where
    the model answers nothing and is all about them, 1 where its answer comes after. A first token
    that sees no other says nothing of its text and counts on neither side. references: of a model
    that answers nothing, the representation that the whole of it gives each row, (rows, width),
    and `centre` the mean of all rows'.
    """

    samples: tuple[int, ...]
    inputs: dict[str, Tensor]
    sides: dict[str, Tensor]
    media_side: int
    answer_rows: Tensor
    answer_positions: Tensor
    targets: Tensor
    references: Tensor | None = None
    centre: Tensor | None = None

    def sides_of(self, tower: str, positions: int) -> Tensor:
        """Of all positions of a tower, one after the other: answer, rest; bool (2, positions)."""
        if tower in self.sides:
            return self.sides[tower].flatten(1)
        device = next(iter(self.inputs.values())).device
        both = torch.zeros(2, positions, dtype=torch.bool, device=device)
        both[self.media_side] = True
        return both
