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

from modalities.example import Example
from modalities.text.row import normal_form
from targets.dataset.settings import Settings


@dataclass(frozen=True)
class Splits:
    """Rows of each split, in the order they came in; no prompt in two of them."""

    train: list[Example]
    pilot: list[Example]
    validation: list[Example]
    eval: list[Example]

    def named(self) -> dict[str, list[Example]]:
        return {
            "train": self.train,
            "pilot": self.pilot,
            "validation": self.validation,
            "eval": self.eval,
        }


def rank(example: Example, seed: int) -> tuple[bytes, bytes]:
    """Where an example stands among all others; small ranks are held out. Those of one source
    stand together.
    """
    own = hashlib.sha256(f"{seed}/{normal_form(example.prompt)}".encode()).digest()
    if not example.source:
        return own, own
    return hashlib.sha256(f"{seed}/{example.source}".encode()).digest(), own


def split(
    rows: Sequence[Example], seed: int, *, held_out: int, validation: int, pilot: int, total: int
) -> Splits:
    """Split distinct examples. `total` of them are used; the highest ranks beyond are not.

    A border that would part what has one source moves up to its end.
    """
    order = sorted(range(len(rows)), key=lambda index: rank(rows[index], seed))
    wanted = (held_out, held_out + validation, held_out + validation + pilot)
    borders = (*(_end_of_source(rows, order, border) for border in wanted), total)
    starts = (0, *borders)
    parts = [
        [rows[index] for index in sorted(order[start:end])]
        for start, end in zip(starts, borders, strict=False)
    ]
    return Splits(eval=parts[0], validation=parts[1], pilot=parts[2], train=parts[3])


def _end_of_source(rows: Sequence[Example], order: Sequence[int], border: int) -> int:
    while 0 < border < len(order):
        before, after = rows[order[border - 1]].source, rows[order[border]].source
        if not before or before != after:
            break
        border += 1
    return border


def too_few(target: str, settings: Settings, rows: int, which: str, dropped: str) -> str:
    """That the other splits leave no row to train on."""
    return (
        f"{target}: {rows} rows {which}, but eval {settings.eval} + validation "
        f"{settings.validation} + pilot {settings.pilot} leave none to train on (dropped: "
        f"{dropped}); give more rows, or ask for smaller splits"
    )
