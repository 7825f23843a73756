"""What a capability reads besides text, as soft tokens of the backbone's width.

A shared, frozen intake per medium makes states of a value; a small linear map of the capability's
own brings them to the backbone's width. In the sequence they stand before the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nexus.errors import InvalidInputError
from nexus.media.intake import Intake


@dataclass(frozen=True)
class Projection:
    """Of one medium. weight: (backbone width, intake width). bias: (backbone width,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """(count, intake width) -> (count, backbone width)."""
        return torch.nn.functional.linear(states, self.weight, self.bias)


def projections_of(tensors: Mapping[str, Tensor]) -> dict[str, Projection]:
    """By medium, of the tensors `<medium>.weight` and `<medium>.bias`.

    Raises ValueError where there is anything else, or shapes do not fit each other.
    """
    media = sorted({name.rpartition(".")[0] for name in tensors})
    found = {}
    for medium in media:
        weight, bias = tensors.get(f"{medium}.weight"), tensors.get(f"{medium}.bias")
        if weight is None or bias is None or weight.dim() != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(f"the projection of {medium} is not a matrix and a bias that fit")
        found[medium] = Projection(weight.float(), bias.float())
    if len(tensors) != 2 * len(media):
        raise ValueError(f"a projection holds a weight and a bias per medium, not {len(tensors)}")
    return found


@dataclass(frozen=True)
class MediaReader:
    """reads: media in the order in which their soft tokens stand."""

    reads: Sequence[str]
    intakes: Mapping[str, Intake]
    projections: Mapping[str, Projection]

    @torch.inference_mode()
    def soft(self, values: Mapping[str, Any]) -> Tensor | None:
        """Soft tokens (count, backbone width) of one request; None where text alone is read.

        values: medium -> value. Raises InvalidInputError for a medium that is not read here, and
        for one that is and was not given.
        """
        for medium in values:
            if medium not in self.reads:
                known = ", ".join(self.reads) or "text alone"
                raise InvalidInputError(f"{medium}= was given, and this capability reads {known}")
        for medium in self.reads:
            if medium not in values:
                raise InvalidInputError(f"this capability reads {medium}: give it with {medium}=")
        parts = [
            self.projections[medium](self.intakes[medium].states(values[medium]))
            for medium in self.reads
        ]
        return torch.cat(parts) if parts else None
