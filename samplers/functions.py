"""Descriptions of small Python functions, answered by their source, with tests.

A program is a composition of operations; each operation has phrasings, a way to be written
down, and a way to be computed that does not go through the source. Tests are picked so that
they tell the program from its neighbours: the same program with one operation exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from modalities.example import Example
from samplers.parts.operations import (
    CONDITIONS,
    FILTERS,
    LIST_ENDS,
    MAPS,
    NUMBERS,
    PAIRS,
    STRINGS,
    Operation,
)

LONGEST_ANSWER = 80
LONGEST_PROMPT = 170
TESTS = 3
OPENINGS = (
    "Write f({names}):",
    "Define f for {described}:",
    "Make a function f({names}) to",
    "I need f. Given {described},",
    "Code f, which for {described} must",
    "Given {described}, let f",
)

Program = Callable[..., Any]


@dataclass(frozen=True)
class _Task:
    """A described program, programs that are nearly it, and inputs to tell them apart."""

    prompt: str
    source: str
    program: Program
    neighbours: list[Program]
    inputs: list[tuple[Any, ...]]
    structure: str


def draw(random: Random) -> Example:
    """One description with its function and three tests."""
    while True:
        task = random.choice((_of_number, _of_pair, _of_list, _of_string, _of_choice))(random)
        if len(task.source) > LONGEST_ANSWER or len(task.prompt) > LONGEST_PROMPT:
            continue
        tests = _tests(task)
        if tests is not None:
            return Example(task.prompt, task.source, tests, task.structure)


def _of_number(random: Random) -> _Task:
    """f(x) by two or three steps of arithmetic."""
    chain = _chain(random, NUMBERS, random.choice((1, 2, 2, 2, 3)))
    expression = "x"
    for operation, amount in chain:
        inner = expression if expression == "x" else f"({expression})"
        expression = operation.source.format(inner, k=amount)
    told, phrasings = _tell(random, chain)
    opening, index = _opening(random, "x", "a number x")
    inputs = [(random.randint(-9, 20),) for _ in range(8)]
    return _Task(
        f"{opening} {told}.",
        f"def f(x):\n    return {expression}",
        _compose(chain),
        [_compose(other) for other in _neighbours(chain, NUMBERS)],
        inputs,
        _structure("number", chain, [f"o{index}", *phrasings]),
    )


def _of_pair(random: Random) -> _Task:
    """f(x, y): the two are joined, then a step of arithmetic follows."""
    pair = random.choice(PAIRS)
    ((operation, amount),) = _chain(random, NUMBERS, 1)
    first = random.randrange(len(pair.phrasings))
    then, phrasings = _tell(random, [(operation, amount)])
    opening, index = _opening(random, "x, y", "two numbers x and y")

    def program(a: int, b: int, join: Operation = pair, then: Operation = operation) -> Any:
        return then.compute(join.compute(a, b), amount)

    joined = pair.source.format("x", "y")
    inner = joined if joined.endswith(")") else f"({joined})"
    return _Task(
        f"{opening} {pair.phrasings[first]}, then {then}.",
        f"def f(x, y):\n    return {operation.source.format(inner, k=amount)}",
        program,
        [lambda a, b, o=other: program(a, b, join=o) for other in PAIRS if other is not pair]
        + [
            lambda a, b, o=other: program(a, b, then=o)
            for other in NUMBERS
            if other is not operation
        ],
        [(random.randint(-5, 15), random.randint(-5, 15)) for _ in range(8)],
        "|".join(
            (
                f"pair:{pair.name}>{operation.name}",
                f"pair:o{index}+{pair.name}{first}",
                f"pair:{pair.name}{first}+{phrasings[0]}",
            )
        ),
    )


def _of_list(random: Random) -> _Task:
    """f(xs): keep some, change each, perhaps put together."""
    keep, change = random.choice(FILTERS), random.choice(MAPS)
    end = random.choice(LIST_ENDS)
    limit, amount = random.randint(2, 9), random.randint(2, 9)
    shape = random.choice(("keep", "change", "both"))
    chosen: list[tuple[Operation, int]] = []
    if shape != "change":
        chosen.append((keep, limit))
    if shape != "keep":
        chosen.append((change, amount))
    chosen.append((end, 0))
    element = change.source.format("x", k=amount) if shape != "keep" else "x"
    condition = "" if shape == "change" else f" if {keep.source.format('x', k=limit)}"
    loop = f"{element} for x in xs{condition}"
    told, phrasings = _tell(random, [step for step in chosen if step[0].phrasings])
    opening, index = _opening(random, "xs", "a list of numbers xs")
    variants = (
        [[(other, limit), *chosen[1:]] for other in FILTERS if other is not keep]
        if shape != "change"
        else [[(other, amount), *chosen[1:]] for other in MAPS if other is not change]
    )
    variants += [[*chosen[:-1], (other, 0)] for other in LIST_ENDS if other is not end]
    variants += [[(o, k + d) if i == 0 else (o, k) for i, (o, k) in enumerate(chosen)]
                 for d in (-1, 1)]  # fmt: skip
    inputs: list[tuple[Any, ...]] = []
    for _ in range(8):
        low = [limit, limit + 1] if random.random() < 0.5 else [limit]
        numbers = low + [random.randint(-4, 14) for _ in range(random.randint(1, 3))]
        random.shuffle(numbers)
        inputs.append((numbers,))
    return _Task(
        f"{opening} {told}.",
        f"def f(xs):\n    return {end.source.format(loop)}",
        _list_program(chosen),
        [_list_program(variant) for variant in variants],
        inputs,
        _structure("list", chosen, [f"o{index}", *phrasings]),
    )


def _of_string(random: Random) -> _Task:
    """f(s) by one to three changes of a string."""
    chain = _chain(random, STRINGS, random.choice((1, 2, 2, 2, 3)))
    expression, loose = "s", False
    for operation, amount in chain:
        expression = operation.source.format(f"({expression})" if loose else expression, k=amount)
        loose = " " in operation.source.split("(")[0]
    told, phrasings = _tell(random, chain)
    opening, index = _opening(random, "s", "a string s")
    letters = "aAbBeEnorstuX "
    inputs = [
        ("".join(random.choice(letters) for _ in range(random.randint(4, 8))),) for _ in range(8)
    ]
    return _Task(
        f"{opening} {told}.",
        f"def f(s):\n    return {expression}",
        _compose(chain),
        [_compose(other) for other in _neighbours(chain, STRINGS)],
        inputs,
        _structure("string", chain, [f"o{index}", *phrasings]),
    )


def _of_choice(random: Random) -> _Task:
    """f(x): one of two operations, by a condition."""
    condition, limit = random.choice(CONDITIONS), random.randint(2, 9)
    (yes, no) = _chain(random, NUMBERS, 2)
    index = random.randrange(len(condition.phrasings))
    told_yes, phrasing_yes = _tell(random, [yes])
    told_no, phrasing_no = _tell(random, [no])
    opening, first = _opening(random, "x", "a number x")
    asked = condition.phrasings[index].format(k=limit)
    word = random.choice(("otherwise", "else", "and if not"))

    def program(
        x: int,
        condition: Operation = condition,
        limit: int = limit,
        yes: tuple[Operation, int] = yes,
        no: tuple[Operation, int] = no,
    ) -> Any:
        operation, amount = yes if condition.compute(x, limit) else no
        return operation.compute(x, amount)

    source_yes = yes[0].source.format("x", k=yes[1])
    source_no = no[0].source.format("x", k=no[1])
    return _Task(
        f"{opening} {told_yes} if {asked}, {word} {told_no}.",
        f"def f(x):\n    return {source_yes} if {condition.source.format('x', k=limit)}"
        f" else {source_no}",
        program,
        [
            *(
                lambda x, o=other: program(x, condition=o)
                for other in CONDITIONS
                if other is not condition
            ),
            lambda x: program(x, limit=limit + 1),
            lambda x: program(x, limit=limit - 1),
            lambda x: program(x, yes=no, no=yes),
            lambda x: program(x, no=yes),
            lambda x: program(x, yes=no),
        ],
        [(x,) for x in (limit, limit + 1, limit - 1, limit + random.randint(2, 9))]
        + [(random.randint(-9, 0),), (random.randint(1, 20),), (limit + 2,), (limit - 2,)],
        "|".join(
            (
                f"choice:{condition.name}?{yes[0].name}",
                f"choice:{yes[0].name}:{no[0].name}",
                f"choice:o{first}+{condition.name}{index}",
                f"choice:{phrasing_yes[0]}+{phrasing_no[0]}",
            )
        ),
    )


def _chain(
    random: Random, operations: tuple[Operation, ...], count: int
) -> list[tuple[Operation, int]]:
    """Operations with their amounts, no two neighbours alike."""
    chain: list[tuple[Operation, int]] = []
    while len(chain) < count:
        operation = random.choice(operations)
        if not chain or chain[-1][0] is not operation:
            chain.append((operation, random.randint(*operation.amounts)))
    return chain


def _compose(chain: list[tuple[Operation, int]]) -> Program:
    def program(value: Any) -> Any:
        for operation, amount in chain:
            value = operation.compute(value, amount)
        return value

    return program


def _list_program(chosen: list[tuple[Operation, int]]) -> Program:
    def program(numbers: list[int]) -> Any:
        values: Any = list(numbers)
        for operation, amount in chosen:
            if operation in FILTERS:
                values = [x for x in values if operation.compute(x, amount)]
            elif operation in MAPS:
                values = [operation.compute(x, amount) for x in values]
            else:
                values = operation.compute(values, 0)
        return values

    return program


def _neighbours(
    chain: list[tuple[Operation, int]], operations: tuple[Operation, ...]
) -> list[list[tuple[Operation, int]]]:
    """The chain with one operation exchanged, one amount changed, or two steps swapped."""
    others = []
    for index, (operation, amount) in enumerate(chain):
        for other in operations:
            if other is not operation:
                others.append([*chain[:index], (other, amount), *chain[index + 1 :]])
        if operation.amounts != (0, 0):
            others.append([*chain[:index], (operation, amount + 1), *chain[index + 1 :]])
    if len(chain) > 1:
        others.append([chain[1], chain[0], *chain[2:]])
    return others


def _tell(random: Random, chain: list[tuple[Operation, int]]) -> tuple[str, list[str]]:
    told, phrasings = "", []
    for operation, amount in chain:
        index = random.randrange(len(operation.phrasings))
        link = random.choice((", then ", " and then ", " and ", ", after that ")) if told else ""
        told += link + operation.phrasings[index].format(k=amount)
        phrasings.append(f"{operation.name}{index}")
    return told, phrasings


def _opening(random: Random, names: str, described: str) -> tuple[str, int]:
    index = random.randrange(len(OPENINGS))
    return OPENINGS[index].format(names=names, described=described), index


def _structure(kind: str, chain: list[tuple[Operation, int]], phrasings: list[str]) -> str:
    names = [operation.name for operation, _ in chain]
    return "|".join(
        (
            f"{kind}:{'>'.join(names)}",
            *(f"{kind}:{a}+{b}" for a, b in pairwise(phrasings)),
        )
    )


def _tests(task: _Task) -> tuple[str, ...] | None:
    """Three assertions that together tell the program from as many neighbours as can be.

    None where an input breaks the program, or where its outputs are all the same.
    """
    results = []
    inputs = [given for i, given in enumerate(task.inputs) if given not in task.inputs[:i]]
    for arguments in inputs:
        try:
            results.append(task.program(*arguments))
        except (ValueError, IndexError, ZeroDivisionError):
            return None
    if len(inputs) < TESTS or all(result == results[0] for result in results):
        return None
    told_apart = [
        {
            number
            for number, neighbour in enumerate(task.neighbours)
            if _differs(neighbour, arguments, result)
        }
        for arguments, result in zip(inputs, results, strict=True)
    ]
    picked: list[int] = []
    known: set[int] = set()
    while len(picked) < TESTS:
        left = [index for index in range(len(results)) if index not in picked]
        best = max(left, key=lambda index: len(told_apart[index] - known))
        picked.append(best)
        known |= told_apart[best]
    return tuple(
        f"assert f({', '.join(map(repr, inputs[index]))}) == {results[index]!r}" for index in picked
    )


def _differs(program: Program, arguments: tuple[Any, ...], result: Any) -> bool:
    try:
        return bool(program(*arguments) != result)
    except (ValueError, IndexError, ZeroDivisionError):
        return True
