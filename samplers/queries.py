"""Questions about tables in everyday wording, each answered by one SQL query.

A table has columns of text, which are compared for equality, and of numbers, which are compared
for size, averaged and sorted by. Conditions stand in the query in the order of the table's
columns, not in the order in which they were said.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from modalities.example import Example
from samplers.parts import spoken_values as say

LONGEST_PROMPT = 130
LONGEST_ANSWER = 110


@dataclass(frozen=True)
class TextColumn:
    """A column compared for equality: its name, its values, how a condition on it is said."""

    name: str
    values: tuple[str, ...]
    phrasings: tuple[str, ...]


@dataclass(frozen=True)
class NumberColumn:
    """A column compared for size: how `more than` and `less than` are said, its range and step."""

    name: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    values: range
    largest_first: str
    smallest_first: str


@dataclass(frozen=True)
class Table:
    """A table: its name, what its rows are called, its columns."""

    name: str
    rows: str
    texts: tuple[TextColumn, ...]
    numbers: tuple[NumberColumn, ...]


TABLES = (
    Table(
        "customers",
        "customers",
        (
            TextColumn("city", say.CITIES, ("in {v}", "from {v}", "who live in {v}")),
            TextColumn("plan", say.words("basic silver gold"), ("on the {v} plan", "with {v}")),
        ),
        (
            NumberColumn(
                "age",
                ("older than {n}", "over {n}", "aged above {n}"),
                ("younger than {n}", "under {n}", "aged below {n}"),
                range(20, 80, 5),
                "oldest first",
                "youngest first",
            ),
            NumberColumn(
                "spent",
                ("who spent more than {n}", "that spent over {n}"),
                ("who spent less than {n}", "that spent under {n}"),
                range(50, 1000, 50),
                "best payers first",
                "smallest payers first",
            ),
        ),
    ),
    Table(
        "films",
        "films",
        (
            TextColumn(
                "genre",
                say.words("drama comedy horror western romance"),
                ("that are {v}", "of the {v} kind"),
            ),
            TextColumn(
                "country",
                say.words("France Japan India Brazil Canada Italy Spain Egypt"),
                ("from {v}", "made in {v}", "shot in {v}"),
            ),
        ),
        (
            NumberColumn(
                "year",
                ("after {n}", "newer than {n}", "that came out after {n}"),
                ("before {n}", "older than {n}", "that came out before {n}"),
                range(1950, 2025, 5),
                "newest first",
                "oldest first",
            ),
            NumberColumn(
                "minutes",
                ("longer than {n} minutes", "over {n} minutes long"),
                ("shorter than {n} minutes", "under {n} minutes long"),
                range(60, 190, 10),
                "longest first",
                "shortest first",
            ),
        ),
    ),
    Table(
        "orders",
        "orders",
        (
            TextColumn("buyer", say.PEOPLE[:14], ("by {v}", "placed by {v}", "that {v} made")),
            TextColumn(
                "state",
                say.words("open paid sent lost"),
                ("that are {v}", "which are {v}", "marked {v}"),
            ),
        ),
        (
            NumberColumn(
                "total",
                ("worth more than {n}", "of over {n}", "above {n} euros"),
                ("worth less than {n}", "of under {n}", "below {n} euros"),
                range(10, 500, 10),
                "dearest first",
                "cheapest first",
            ),
            NumberColumn(
                "items",
                ("with more than {n} items",),
                ("with fewer than {n} items",),
                range(2, 20),
                "largest first",
                "smallest first",
            ),
        ),
    ),
)

LISTS = (
    "show the {rows}{if}",
    "list all {rows}{if}",
    "which {rows} are there{if}?",
    "give me every one of the {rows}{if}",
    "I need the {rows}{if}",
)
COUNTS = (
    "how many {rows} are there{if}?",
    "count the {rows}{if}",
    "what is the number of {rows}{if}?",
)
AGGREGATES = {
    "AVG": ("what is the average {column} of {rows}{if}?", "average {column} of the {rows}{if}"),
    "MAX": ("what is the highest {column} of {rows}{if}?", "find the top {column} of {rows}{if}"),
    "MIN": ("what is the lowest {column} of {rows}{if}?", "find the least {column} of {rows}{if}"),
}
LIMITS = ("only {n}", "just the first {n}", "at most {n}")


def draw(random: Random) -> Example:
    """One question and its query."""
    while True:
        row = _ask(random, random.choice(TABLES))
        if len(row.prompt) <= LONGEST_PROMPT and len(row.answer) <= LONGEST_ANSWER:
            return row


def _ask(random: Random, table: Table) -> Example:
    spoken, where, phrasings = _conditions(random, table)
    kind = random.choices(("list", "count", "aggregate"), weights=(5, 2, 3))[0]
    if kind == "list":
        selected, tail, said, index = "*", *_order_and_limit(random, table)
        head = LISTS[index % len(LISTS)]
        phrasings.append(f"list{index % len(LISTS)}")
    elif kind == "count":
        index = random.randrange(len(COUNTS))
        head, selected, tail, said = COUNTS[index], "COUNT(*)", "", ""
        phrasings.append(f"count{index}")
    else:
        function = random.choice(sorted(AGGREGATES))
        index = random.randrange(len(AGGREGATES[function]))
        column = random.choice(table.numbers).name
        head = AGGREGATES[function][index].replace("{column}", column)
        selected, tail, said = f"{function}({column})", "", ""
        phrasings.append(f"{function}{index}({column})")

    conditions = f" {' '.join(spoken)}" if spoken else ""
    asked = head.replace("{rows}", table.rows).replace("{if}", conditions)
    question = asked.endswith("?")
    prompt = asked.removesuffix("?") + said + ("?" if question else "")
    query = f"SELECT {selected} FROM {table.name}"
    if where:
        query += f" WHERE {' AND '.join(where)}"
    structure = "|".join(f"{table.name}:{a}+{b}" for a, b in pairwise(phrasings))
    return Example(
        prompt[:1].upper() + prompt[1:], query + tail, (), structure or f"{table.name}:bare"
    )


def _conditions(random: Random, table: Table) -> tuple[list[str], list[str], list[str]]:
    """Conditions as said, in any order; as SQL, in the order of columns; and their phrasings."""
    drawn: list[tuple[str, str, str]] = []
    for text in table.texts:
        if random.random() < 0.5:
            value = random.choice(text.values)
            index = random.randrange(len(text.phrasings))
            said = text.phrasings[index].format(v=value)
            drawn.append((said, f"{text.name} = '{value}'", f"{text.name}{index}"))
    for number in table.numbers:
        if random.random() < 0.4:
            bound = random.choice(number.values)
            sign = random.choice("><")
            sayings = number.above if sign == ">" else number.below
            index = random.randrange(len(sayings))
            said = sayings[index].format(n=bound)
            drawn.append((said, f"{number.name} {sign} {bound}", f"{number.name}{sign}{index}"))
    where = [condition for _, condition, _ in drawn]
    random.shuffle(drawn)
    return [said for said, _, _ in drawn], where, [phrasing for _, _, phrasing in drawn]


def _order_and_limit(random: Random, table: Table) -> tuple[str, str, int]:
    """Order and limit of a list as SQL and as said, and which head to use."""
    tail, said = "", ""
    if random.random() < 0.5:
        column = random.choice(table.numbers)
        if random.random() < 0.6:
            tail, said = f" ORDER BY {column.name} DESC", f", {column.largest_first}"
        else:
            tail, said = f" ORDER BY {column.name}", f", {column.smallest_first}"
    if random.random() < 0.3:
        count = random.randint(2, 20)
        tail += f" LIMIT {count}"
        said += f", {random.choice(LIMITS).format(n=count)}"
    return tail, said, random.randrange(len(LISTS))
