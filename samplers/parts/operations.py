"""The operations that sampled functions are composed of.

`source` writes an operation down: `{0}` is what it works on, `{k}` its amount. `compute` works
it out without that source, so that a mistake in either shows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)  # an operation is itself, and comparing is not free
class Operation:
    """One operation. `amounts`: smallest and largest `{k}`; (0, 0) where there is none."""

    name: str
    phrasings: tuple[str, ...]
    source: str
    compute: Callable[[Any, Any], Any]
    amounts: tuple[int, int] = (0, 0)


NUMBERS = (
    Operation(
        "add", ("add {k}", "increase by {k}"), "{0} + {k}", operator.add, (1, 9)
    ),
    Operation(
        "take",
        ("subtract {k}", "decrease by {k}"),
        "{0} - {k}",
        operator.sub,
        (1, 9),
    ),
    Operation(
        "times", ("multiply by {k}", "scale by {k}"), "{0} * {k}",
        operator.mul, (2, 9),
    ),
    Operation(
        "over", ("divide by {k} and round down", "floor divide by {k}"), "{0} // {k}",
        operator.floordiv, (2, 9),
    ),
    Operation(
        "modulo", ("take the rest modulo {k}", "keep the remainder by {k}"), "{0} % {k}",
        operator.mod, (2, 9),
    ),
    Operation("square", ("square it", "raise it to power two"), "{0} ** 2", lambda x, _: x * x),
    Operation("negate", ("negate it", "flip the sign"), "-{0}", lambda x, _: 0 - x),
)  # fmt: skip

PAIRS = (
    Operation("sum", ("add them", "take the sum", "sum up both"), "{0} + {1}", operator.add),
    Operation(
        "difference", ("subtract y from x", "take x less y"), "{0} - {1}", operator.sub
    ),
    Operation(
        "product", ("multiply them", "take the product"), "{0} * {1}", operator.mul
    ),
    Operation(
        "larger", ("take the larger", "pick the bigger one"), "max({0}, {1})",
        lambda a, b: a if a > b else b,
    ),
    Operation(
        "smaller", ("take the smaller", "pick the lesser one"), "min({0}, {1})",
        lambda a, b: a if a < b else b,
    ),
)  # fmt: skip

CONDITIONS = (
    Operation("above", ("x is above {k}", "x is more than {k}"), "{0} > {k}", operator.gt),
    Operation("below", ("x is below {k}", "x is less than {k}"), "{0} < {k}", operator.lt),
    Operation("equals", ("x equals {k}", "x is exactly {k}"), "{0} == {k}", operator.eq),
    Operation(
        "even", ("x is even", "x has no rest by two"), "{0} % 2 == 0", lambda x, _: not x & 1
    ),
)

FILTERS = (
    Operation(
        "above", ("keep those above {k}", "select what is more than {k}"), "{0} > {k}", operator.gt
    ),
    Operation(
        "below", ("keep those below {k}", "select what is less than {k}"), "{0} < {k}", operator.lt
    ),
    Operation(
        "even",
        ("keep the even ones", "select what is even"),
        "{0} % 2 == 0",
        lambda x, _: not x & 1,
    ),
    Operation(
        "odd", ("keep the odd ones", "select what is odd"), "{0} % 2 == 1", lambda x, _: x & 1
    ),
    Operation(
        "not", ("leave out every {k}", "drop each {k}"), "{0} != {k}", operator.ne
    ),
)  # fmt: skip

MAPS = (
    Operation("add", ("add {k} to each", "increase each by {k}"), "{0} + {k}", operator.add),
    Operation("take", ("subtract {k} from each", "lower each by {k}"), "{0} - {k}", operator.sub),
    Operation("times", ("multiply each by {k}", "scale each by {k}"), "{0} * {k}", operator.mul),
    Operation("square", ("square each", "take each squared"), "{0} ** 2", lambda x, _: x * x),
)

LIST_ENDS = (
    Operation("list", ("return the list", "give the new list"), "[{0}]", lambda xs, _: xs),
    Operation("sum", ("sum them", "return the total"), "sum({0})", lambda xs, _: sum(xs)),
    Operation(
        "sorted", ("sort them", "put them in order"), "sorted({0})", lambda xs, _: sorted(xs)
    ),
    Operation("max", ("return the largest", "find the maximum"), "max({0})",
              lambda xs, _: sorted(xs)[-1]),
    Operation("min", ("return the smallest", "find the minimum"), "min({0})",
              lambda xs, _: sorted(xs)[0]),
)  # fmt: skip

STRINGS = (
    Operation(
        "upper", ("make it upper case", "put it in capitals"), "{0}.upper()", lambda s, _: s.upper()
    ),
    Operation(
        "lower", ("make it lower case", "use small letters"), "{0}.lower()", lambda s, _: s.lower()
    ),
    Operation(
        "reverse", ("reverse it", "turn it around"), "{0}[::-1]",
        lambda s, _: "".join(reversed(s)),
    ),
    Operation(
        "repeat", ("repeat it {k} times", "write it {k} times"), "{0} * {k}", operator.mul, (2, 9)
    ),
    Operation(
        "first", ("keep the first {k} letters", "cut it after {k} letters"), "{0}[:{k}]",
        lambda s, k: "".join(c for i, c in enumerate(s) if i < k), (1, 4),
    ),
    Operation(
        "skip", ("skip the first {k} letters", "leave out {k} letters in front"), "{0}[{k}:]",
        lambda s, k: "".join(c for i, c in enumerate(s) if i >= k), (1, 4),
    ),
    Operation(
        "shout", ("add an exclamation mark", "end with a bang"), "{0} + '!'",
        lambda s, _: "".join((*s, "!")),
    ),
    Operation(
        "strip", ("strip it", "trim the blanks"), "{0}.strip()", lambda s, _: s.strip()
    ),
    Operation(
        "replace", ("replace a by o", "change each a to o"), "{0}.replace('a', 'o')",
        lambda s, _: "".join("o" if c == "a" else c for c in s),
    ),
)  # fmt: skip
