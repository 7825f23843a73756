"""Which pilot rows serve which stage; held-out rows serve no other."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from targets.profile.settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class Pilot:
    """mapped: rows of activation mapping and PCA; ablated: the first of them, for removal.

    heldout: for the reconstruction check and the held-out spectrum.
    """

    mapped: tuple[Row, ...]
    ablated: tuple[Row, ...]
    heldout: tuple[Row, ...]

    def all_rows(self) -> tuple[Row, ...]:
        """Mapped and held-out rows."""
        return (*self.mapped, *self.heldout)

    def answered(self, rows: Iterable[Mapping[str, Any]]) -> Pilot:
        """The same, with these rows in place of those of the same id."""
        found = {row["id"]: dict(row) for row in rows}

        def with_answers(part: Sequence[Row]) -> tuple[Row, ...]:
            return tuple(found.get(row["id"], row) for row in part)

        return Pilot(*map(with_answers, (self.mapped, self.ablated, self.heldout)))


def split_pilot(rows: Sequence[Row], settings: Settings, seed: int) -> Pilot:
    """Deal out shuffled rows; at least a fifth is held out where there are few.

    Raises ValueError where there are fewer than five rows.
    """
    if len(rows) < 5:
        raise ValueError(
            f"the pilot split has {len(rows)} rows; a profile needs at least 5, and asks for "
            f"{settings.samples} and {settings.heldout_samples} held-out ones. Give the data set "
            "a larger `pilot`."
        )
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    fifth = max(1, len(shuffled) // 5)
    spare = len(shuffled) - settings.samples
    heldout = min(settings.heldout_samples, max(fifth, spare))
    mapped = shuffled[: min(settings.samples, len(shuffled) - heldout)]
    return Pilot(
        mapped=tuple(mapped),
        ablated=tuple(mapped[: settings.pilot_samples]),
        heldout=tuple(shuffled[len(shuffled) - heldout :]),
    )
