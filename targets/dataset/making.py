"""A data set as it is made, before it is written: what `nexusbuild data show` looks at as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modalities.example import Example
from modalities.text.near_duplicates import REPORTED_SIMILARITY, Pair, near_duplicates
from targets.dataset.dropped import Dropped
from targets.dataset.settings import Settings
from targets.dataset.splitting import Splits

Progress = Callable[[int, int], None]
SHOWN_PAIRS = 5
SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Near:
    """A training row and the `eval` row most like it."""

    train: Example
    held_out: Example
    similarity: float

    def to_json(self) -> dict[str, Any]:
        return {
            "train": self.train.prompt[:SHOWN_CHARACTERS],
            "eval": self.held_out.prompt[:SHOWN_CHARACTERS],
            "similarity": round(self.similarity, 3),
        }


@dataclass(frozen=True)
class Made:
    """near: training rows that are almost an `eval` row, the most alike first."""

    splits: Splits
    dropped: Dropped
    origin: dict[str, Any]
    near: list[Near]

    def near_json(self, settings: Settings) -> dict[str, Any]:
        """How many training rows are almost an `eval` row, and the first of them."""
        dropped = settings.drop_similar
        return {
            "similarity": _least(settings),
            "rows": len(self.near),
            "dropped": sum(dropped is not None and one.similarity >= dropped for one in self.near),
            "examples": [one.to_json() for one in self.near[:SHOWN_PAIRS]],
        }


def make_dataset(
    splits: Splits, settings: Settings, dropped: Dropped, origin: dict[str, Any]
) -> Made:
    """The splits without the training rows that are too similar to a row of `eval`."""
    # What reads more than text may have one prompt for all: its likeness is not in the words.
    train = [row for row in splits.train if not row.parts]
    held_out = [row for row in splits.eval if not row.parts]
    pairs = near_duplicates(
        [row.prompt for row in train], [row.prompt for row in held_out], _least(settings)
    )
    near = [Near(train[one.train], held_out[one.held_out], one.similarity) for one in pairs]
    near.sort(key=lambda one: -one.similarity)
    least = settings.drop_similar
    if least is not None:
        gone = {train[one.train].id for one in pairs if one.similarity >= least}
        for one in pairs:
            if train[one.train].id in gone:
                dropped.add(f"{least:.0%} like a prompt of eval", _place(train[one.train], one))
        kept = [row for row in splits.train if row.id not in gone]
        if not kept:
            raise ValueError(
                f"every training row is {least:.0%} like one of eval; set `drop_similar` higher"
            )
        splits = replace(splits, train=kept)
    return Made(splits, dropped, origin, near)


def _least(settings: Settings) -> float:
    return min(REPORTED_SIMILARITY, settings.drop_similar or REPORTED_SIMILARITY)


def _place(row: Example, pair: Pair) -> str:
    text = row.prompt if len(row.prompt) <= 80 else row.prompt[:79] + "…"
    return f"{text!r} ({pair.similarity:.0%})"
