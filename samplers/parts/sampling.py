"""Rows of a sampler, of which `train` and `eval` never share a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

from modalities.example import Example
from modalities.text.row import is_eval_prompt, is_held_out, normal_form

HELD_OUT_SHARE = 0.2
ATTEMPTS_PER_ROW = 20_000

Draw = Callable[[Random], Example]


def sample(
    name: str, draw: Draw, seed: int, rows: int, split: Literal["train", "eval"]
) -> Iterator[Example]:
    """Yield `rows` rows of distinct prompts; a longer sample begins with the shorter one.

    `eval` shares no prompt with `train`, whatever the seeds, and a fifth of it is made of
    combinations that `train` never has. Raises ValueError where the sampler `name` has no more
    rows to give.
    """
    random = Random(f"{name}/{seed}/{split}")
    seen: set[str] = set()
    for _ in range(rows):
        novel = split == "eval" and random.random() < HELD_OUT_SHARE
        for _ in range(ATTEMPTS_PER_ROW):
            row = draw(random)
            if is_held_out(row.structure) != novel:
                continue
            if not novel and is_eval_prompt(row.prompt) != (split == "eval"):
                continue
            form = normal_form(row.prompt)
            if form not in seen:
                seen.add(form)
                yield row
                break
        else:
            raise ValueError(
                f"sampler {name!r} has no more than about {len(seen)} {split} rows; ask for fewer"
            )
