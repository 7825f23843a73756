"""Word problems of two or three arithmetic steps on numbers below 20, with worked answers.

A prompt tells one of the families in `stories.py`; the answer is each step's equation and the
final number after `####`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from modalities.text.row import Row
from targets.dataset.sampled import build_sampled

if TYPE_CHECKING:
    from nexusbuild.plugins import Job
from samplers.stories import DISTRACTIONS, FAMILIES, HE, SHE, Family

LARGEST = 60
LONGEST_PROMPT = 110
NUMBER = re.compile(r"\d+")
THREE_STEPS = 0.12
GROUPS = 0.25
DISTRACTION = 0.04
NAME_AGAIN = 0.2
JOINED = 0.3


def draw(random: Random) -> Row:
    """One word problem."""
    while True:
        row = _tell(random, random.choice(FAMILIES))
        told = NUMBER.findall(row.prompt)
        # A number told twice would be found twice by whoever looks for what comes after it.
        if len(row.prompt) <= LONGEST_PROMPT and len(set(told)) == len(told):
            return row


def build(job: Job) -> None:
    """Make a data set of these rows."""
    build_sampled(job, draw)


def _tell(random: Random, family: Family) -> Row:
    steps = 3 if random.random() < THREE_STEPS else 2
    cast = _Cast(random)
    words = {"i": random.choice(family.items), "M": cast.other, "P": cast.hero}
    operations: list[str] = []
    phrasings: list[str] = []
    equations: list[str] = []
    clauses: list[str] = []

    if random.random() < GROUPS:
        groups, size = random.randint(2, 5), random.randint(2, 9)
        value = groups * size
        index = random.randrange(len(family.groups))
        counts = {"a": groups, "b": size}
        clauses.append(family.groups[index].format(**counts, **words))
        equations.append(f"{groups}*{size}={value}")
        operations.append("groups")
        phrasings.append(f"g{index}")
    else:
        value = random.randint(2, 19)
        index = random.randrange(len(family.starts))
        clauses.append(family.starts[index].format(k=value, **words))
        operations.append("start")
        phrasings.append(f"s{index}")

    while len(equations) < steps:
        operation, sign, amount, after = _step(random, value)
        choices: tuple[str, ...] = getattr(family, operation)
        index = random.randrange(len(choices))
        phrase = choices[index]
        pronoun = cast.hero if random.random() < NAME_AGAIN else cast.pronoun
        follower = cast.next_person() if "{Q}" in phrase else ""
        told = phrase.format(k=amount, he=pronoun, Q=follower, **words)
        clauses.append(told)
        equations.append(f"{value}{sign}{amount}={after}")
        operations.append(operation)
        phrasings.append(f"{operation[0]}{index}")
        value = after
        if follower:
            cast.hero = words["P"] = follower

    index = random.randrange(len(family.questions))
    question = family.questions[index].format(**words)
    prompt = _join(random, clauses, question, cast.other)
    structure = "|".join(
        (
            f"{family.name}:{'-'.join(operations)}",
            *(f"{family.name}:{a}+{b}" for a, b in pairwise(phrasings)),
        )
    )
    answer = " ".join(f"{equation}." for equation in equations) + f" #### {value}"
    return Row(prompt, answer, (), structure)


class _Cast:
    """Who appears in one story. The helper has another pronoun than the first hero."""

    def __init__(self, random: Random) -> None:
        mine, theirs = (HE, SHE) if random.random() < 0.5 else (SHE, HE)
        self.hero, *self.rest = random.sample(mine, 4)
        self.other = random.choice(theirs)

    @property
    def pronoun(self) -> str:
        return "he" if self.hero in HE else "she"

    def next_person(self) -> str:
        return self.rest.pop()


def _step(random: Random, value: int) -> tuple[str, str, int, int]:
    """A step from `value`: the family's field with its phrasings, sign, amount, result."""
    while True:
        operation = random.choices(("adds", "subtracts", "doubles"), weights=(42, 42, 16))[0]
        if operation == "adds":
            amount = random.randint(2, 9)
            step = (operation, "+", amount, value + amount)
        elif operation == "subtracts":
            amount = random.randint(2, 9)
            step = (operation, "-", amount, value - amount)
        else:
            step = (operation, "*", 2, value * 2)
        if 0 <= step[3] <= LARGEST:
            return step


def _join(random: Random, clauses: list[str], question: str, other: str) -> str:
    """The clauses as sentences, some joined, perhaps with a number that does not matter."""
    told = list(clauses)
    if random.random() < JOINED:
        last = told.pop()
        told[-1] += random.choice((", then ", " and then ", ", and ", "; ")) + last
    if random.random() < DISTRACTION:
        extra = random.choice(DISTRACTIONS).format(M=other, z=random.randint(2, 9))
        told.insert(random.randint(0, len(told)), extra)
    mark = "." if question.startswith(("count", "find")) else "?"
    sentences = [f"{_capital(clause)}." for clause in told]
    asked = f"{_capital(question)}{mark}"
    return " ".join((*sentences, asked))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
