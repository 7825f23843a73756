"""How much there is to read and to answer in a data set, without opening it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nexusbuild.plugins import SpecFolder
from specs.datasets import Dataset
from targets.budget.json_values import json_object, whole_number

# Rows of files of which neither the spec nor an earlier build says how many there are.
ROWS_OF_FILES = 10_000
TOKENS_OF_SAMPLE = 45
CHARACTERS_PER_TOKEN = 4
# A row of a file has this share of the longest that is allowed, and its answer this share of it.
USUAL_SHARE_OF_LONGEST = 1 / 8
ANSWER_SHARE = 1 / 3
SPLITS = ("train", "validation", "eval", "pilot")
# Where build/ shows what an earlier build counted.
ABOUT = "build/dataset/{name}/about.json"


@dataclass(frozen=True)
class Volume:
    """Rows of a data set by split, and tokens of one row and of its answer."""

    train: int
    validation: int
    eval: int
    pilot: int
    tokens: float
    answer: float

    @property
    def rows(self) -> int:
        return self.train + self.validation + self.eval + self.pilot


def volume_of(folder: SpecFolder, name: str, dataset: Dataset) -> Volume:
    """Of the data set `name`: its rows as the spec says, else as an earlier build counted them."""
    tokens = float(TOKENS_OF_SAMPLE)
    if dataset.path is not None:
        tokens = dataset.longest_row * USUAL_SHARE_OF_LONGEST / CHARACTERS_PER_TOKEN
    answer = dataset.max_new_tokens or tokens * ANSWER_SHARE
    counted = _counted_rows(folder, name) if dataset.rows is None else None
    if counted is not None:
        return Volume(**counted, tokens=tokens, answer=answer)
    held = dataset.eval + dataset.validation + dataset.pilot
    train = max(1, (dataset.rows or ROWS_OF_FILES) - held)
    return Volume(train, dataset.validation, dataset.eval, dataset.pilot, tokens, answer)


def _counted_rows(folder: SpecFolder, name: str) -> Mapping[str, int] | None:
    """Rows by split as the last build wrote them; None where it did not."""
    rows = json_object(folder.text(ABOUT.format(name=name))).get("rows")
    if not isinstance(rows, Mapping):
        return None
    counted = {split: whole_number(rows.get(split)) for split in SPLITS}
    found = {split: number for split, number in counted.items() if number is not None}
    return found if len(found) == len(SPLITS) else None
