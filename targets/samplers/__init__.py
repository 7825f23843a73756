"""Seeded samplers of the data sets that need no file: tasks small enough to learn in minutes.

Each is a module with `draw(random) -> Row`. What they give is right by construction, and the
tests work every answer out a second way.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

from targets.samplers import functions, plain_talk, queries, tool_calls, word_problems
from targets.samplers.row import Row, is_eval_prompt, is_held_out, normal_form

__all__ = ["SAMPLERS", "Row", "sample"]

SAMPLERS: dict[str, Callable[[Random], Row]] = {
    "functions": functions.draw,
    "plain_talk": plain_talk.draw,
    "queries": queries.draw,
    "tool_calls": tool_calls.draw,
    "word_problems": word_problems.draw,
}
HELD_OUT_SHARE = 0.2
ATTEMPTS_PER_ROW = 20_000


def sample(name: str, seed: int, rows: int, split: Literal["train", "eval"]) -> Iterator[Row]:
    """Yield `rows` rows of distinct prompts; a longer sample begins with the shorter one.

    `eval` shares no prompt with `train`, whatever the seeds, and a fifth of it is made of
    combinations that `train` never has. Raises ValueError for an unknown name, or where the
    sampler has no more rows to give.
    """
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, n=1, cutoff=0)
        raise ValueError(f"no sampler is called {name!r}; the nearest is {near[0]!r}")
    draw = SAMPLERS[name]
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
