"""The wording of word problems: families of stories with several phrasings of every step.

In the phrasings `{P}` is who the story is about at that point, `{he}` their pronoun, `{Q}` a
person who takes over the story, `{M}` somebody else, `{i}` what is counted, `{k}` the number of
the step. A start with `{a}` and then `{b}` describes a groups of b.
"""

from __future__ import annotations

from dataclasses import dataclass

HE = ("Tom", "Ben", "Sam", "Max", "Leo", "Ali", "Dan", "Finn", "Omar", "Paul", "Ravi", "Kofi")
SHE = ("Ana", "Mia", "Eva", "Zoe", "Lily", "Nora", "Ruth", "Ines", "Yuki", "Maya", "Sara", "Jane")

DISTRACTIONS = (
    "it is {z} o'clock",
    "{M} owns {z} hats",
    "the way takes {z} minutes",
    "there are {z} chairs",
    "{M} slept {z} hours",
    "it is {z} degrees outside",
)


@dataclass(frozen=True)
class Family:
    """One kind of story: what is counted, and the phrasings of its start, steps and question."""

    name: str
    items: tuple[str, ...]
    starts: tuple[str, ...]
    groups: tuple[str, ...]
    adds: tuple[str, ...]
    subtracts: tuple[str, ...]
    doubles: tuple[str, ...]
    questions: tuple[str, ...]


FAMILIES = (
    Family(
        "collecting",
        ("marbles", "stamps", "coins", "shells", "cards", "stickers", "beads", "buttons"),
        ("{P} has {k} {i}", "{P} owns {k} {i}", "{P} starts with {k} {i}"),
        ("{P} has {a} bags of {b} {i}", "{P} fills {a} boxes with {b} {i}"),
        (
            "{he} finds {k} more",
            "{M} gives {P} {k}",
            "{Q} has {k} more than {P}",
        ),
        (
            "{he} loses {k}",
            "{he} gives {k} to {M}",
            "{Q} has {k} fewer than {P}",
        ),
        ("{Q} has twice as many as {P}", "{he} doubles the number"),
        ("how many {i} does {P} have", "count the {i} of {P}"),
    ),
    Family(
        "money",
        ("dollars", "euros", "pounds"),
        ("{P} has {k} {i}", "{P} takes {k} {i} along", "{P} has saved {k} {i}"),
        ("{P} works {a} hours at {b} {i}", "{P} sells {a} cups at {b} {i}"),
        ("{he} earns {k} {i}", "{he} finds {k} {i}", "{M} pays {P} {k}"),
        (
            "{he} buys a pen for {k}",
            "{he} spends {k} {i} on lunch",
            "{he} lends {M} {k}",
        ),
        ("{he} doubles the money", "{Q} has twice as much as {P}"),
        ("how many {i} does {P} have left", "how much money has {P}", "what is left for {P}"),
    ),
    Family(
        "bus",
        ("people", "passengers", "riders"),
        ("a bus carries {k} {i}", "{k} {i} sit in a bus", "a tram leaves with {k} {i}"),
        ("a train has {a} cars of {b} {i}", "a bus has {a} rows of {b} {i}"),
        ("{k} get on", "{k} more {i} come in", "{k} climb in"),
        ("{k} get off", "{k} {i} leave", "{k} step out"),
        ("the number of {i} doubles",),
        ("how many {i} are on board", "how many {i} ride on", "how many {i} stay in"),
    ),
    Family(
        "reading",
        ("pages", "lines", "poems"),
        ("{P} reads {k} {i}", "{P} has read {k} {i}", "first {P} reads {k} {i}"),
        ("in {a} days {P} reads {b} {i} each", "for {a} nights {P} reads {b} {i}"),
        (
            "{he} reads {k} more",
            "then {he} reads {k}",
            "{Q} reads {k} {i} more than {P}",
        ),
        (
            "{he} forgets {k} of them",
            "{k} of the {i} do not count",
            "{Q} reads {k} {i} less than {P}",
        ),
        ("{Q} reads twice as many as {P}", "{Q} reads double that"),
        ("how many {i} does {P} read", "how many {i} is that for {P}", "count the {i} of {P}"),
    ),
    Family(
        "baking",
        ("cakes", "buns", "pies", "cookies", "rolls", "muffins"),
        ("{P} bakes {k} {i}", "{P} makes {k} {i}", "{P} has {k} {i} on a plate"),
        ("{P} bakes {a} trays of {b} {i}", "{P} fills {a} plates with {b} {i}"),
        ("{he} bakes {k} more", "{M} brings {k} {i}", "{he} adds {k}"),
        ("{M} eats {k}", "{he} sells {k}", "{k} of the {i} burn"),
        ("{Q} bakes twice as many as {P}", "{he} doubles the batch"),
        ("how many {i} are left", "how many {i} does that make", "how many {i} are there"),
    ),
    Family(
        "birds",
        ("birds", "crows", "ducks", "doves", "geese"),
        ("{k} {i} sit in a tree", "there are {k} {i} on a roof", "{P} sees {k} {i}"),
        ("there are {a} nests of {b} {i}", "{P} sees {a} groups of {b} {i}"),
        ("{k} more land", "{k} {i} join them", "{k} come from the lake"),
        ("{k} fly away", "{k} {i} leave", "a cat scares off {k}"),
        ("the number of {i} doubles",),
        ("how many {i} are there now", "how many {i} remain", "how many {i} is that"),
    ),
)
