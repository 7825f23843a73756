"""Which row belongs to which split, by a hash of its prompt.

The rank of a row depends on its own prompt and the seed alone. The first ranks are `eval`, the
next `validation`, the next `pilot`, the rest `train`: counts are exact, the order of the file
does not matter, and a row that is added moves at most one row across each border, never one
towards `eval`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from modalities.text.row import Row, normal_form
from targets.dataset.settings import Settings


@dataclass(frozen=True)
class Splits:
    """Rows of each split, in the order they came in; no prompt in two of them."""

    train: list[Row]
    pilot: list[Row]
    validation: list[Row]
    eval: list[Row]

    def named(self) -> dict[str, list[Row]]:
        return {
            "train": self.train,
            "pilot": self.pilot,
            "validation": self.validation,
            "eval": self.eval,
        }


def rank(prompt: str, seed: int) -> bytes:
    """Where a prompt stands among all others; small ranks are held out."""
    return hashlib.sha256(f"{seed}/{normal_form(prompt)}".encode()).digest()


def split(
    rows: Sequence[Row], seed: int, *, held_out: int, validation: int, pilot: int, total: int
) -> Splits:
    """Split rows of distinct prompts. `total` rows are used; the highest ranks beyond are not."""
    order = sorted(range(len(rows)), key=lambda index: rank(rows[index].prompt, seed))
    borders = (held_out, held_out + validation, held_out + validation + pilot, total)
    starts = (0, *borders)
    parts = [
        [rows[index] for index in sorted(order[start:end])]
        for start, end in zip(starts, borders, strict=False)
    ]
    return Splits(eval=parts[0], validation=parts[1], pilot=parts[2], train=parts[3])


def too_few(target: str, settings: Settings, rows: int, which: str, dropped: str) -> str:
    """That the other splits leave no row to train on."""
    return (
        f"{target}: {rows} rows {which}, but eval {settings.eval} + validation "
        f"{settings.validation} + pilot {settings.pilot} leave none to train on (dropped: "
        f"{dropped}); give more rows, or ask for smaller splits"
    )
