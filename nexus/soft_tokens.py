"""States that a model reads in place of embeddings: of a picture, a sound, of what is not text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SoftTokens:
    """States that take the place of embeddings: of a picture, a sound, of whatever is no text.

    rows, positions: (count,) where in a batch of ids; states: (count, width).
    """

    rows: Tensor
    positions: Tensor
    states: Tensor

    def place(self, embedded: Tensor) -> Tensor:
        """Embeddings (rows, tokens, width) with these states in their places."""
        placed = embedded.clone()
        placed[self.rows, self.positions] = self.states.to(embedded)
        return placed


def soft_tokens(
    states: Sequence[Tensor | None], lengths: Sequence[int], device: torch.device | str
) -> SoftTokens | None:
    """States (count, width) that each row begins with, in a batch padded on the left.

    lengths: of the rows' ids, the places of the states counted in. None where no row has any.
    """
    width = max(lengths)
    found = [(row, of_row) for row, of_row in enumerate(states) if of_row is not None]
    if not found:
        return None
    rows = [row for row, of_row in found for _ in range(len(of_row))]
    positions = [
        width - lengths[row] + place for row, of_row in found for place in range(len(of_row))
    ]
    return SoftTokens(
        torch.tensor(rows, device=device),
        torch.tensor(positions, device=device),
        torch.cat([of_row for _, of_row in found]).to(device),
    )


@contextmanager
def reading_soft_tokens(soft: SoftTokens | None, model: PreTrainedModel) -> Iterator[None]:
    """While this holds, the model reads these states in place of its embeddings."""
    if soft is None:
        yield
        return
    handle = model.get_input_embeddings().register_forward_hook(
        lambda _module, _inputs, embedded: soft.place(embedded)
    )
    try:
        yield
    finally:
        handle.remove()
