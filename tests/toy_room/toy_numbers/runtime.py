"""The half that ships: digits to states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nexus.errors import InvalidInputError
from toy_numbers.digits import are_digits


class NumbersIntake:
    """A row of a table for each digit."""

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self.width = int(table.shape[1])

    def states(self, value: Any) -> Tensor:
        if not are_digits(value):
            raise InvalidInputError(f"numbers= takes a list of digits, not {value!r:.60}")
        return self._table[torch.tensor(value)]


def open_intake(tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]) -> NumbersIntake:
    table = tensors["table"].float()
    if table.shape != (10, configuration["width"]):
        raise ValueError(f"the table has shape {tuple(table.shape)}")
    return NumbersIntake(table)
