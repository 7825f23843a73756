"""How much a YAML text may hold, counted before anything is made of it.

The parsers nest as deep as the text does, down to the end of the stack, and a text of a few lines
can stand for more values than there is memory. No spec comes near these limits.
"""

from __future__ import annotations

from typing import Any

import yaml

from specs.problems import SpecError, SpecProblem, line_of

MOST_BYTES = 1 << 20
MOST_DEPTH = 50
MOST_VALUES = 50_000
MOST_ITEMS = 2000
MOST_MERGED = 10_000
MOST_NAME_LETTERS = 200
_SPLIT = "a file of this kind is far smaller: take out what does not belong in it"


def refuse_excess(text: str, lines: list[str], file: str, loader: Any) -> None:
    """Raise SpecError where the text is too long, too deep, or of too many values.

    loader: the class whose parser reads the text. What is no YAML is not told here.
    """
    if len(text) > MOST_BYTES:
        raise too_long(file)
    depth = values = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.NodeEvent):
                values += 1
                depth += isinstance(event, yaml.CollectionStartEvent)
                if depth > MOST_DEPTH:
                    message = f"nested more than {MOST_DEPTH} deep"
                    raise excess(
                        message, event.start_mark, lines, file, "write it with fewer levels"
                    )
                if values > MOST_VALUES:
                    message = f"holds more than {MOST_VALUES:,} values"
                    raise excess(message, event.start_mark, lines, file)
    except yaml.YAMLError:
        return


def too_long(file: str) -> SpecError:
    """What a file of more than MOST_BYTES is."""
    return SpecError([SpecProblem(f"has more than {MOST_BYTES:,} bytes", file, 1, remedy=_SPLIT)])


def excess(message: str, mark: Any, lines: list[str], file: str, remedy: str = _SPLIT) -> SpecError:
    """Too much of something, at the place where it became too much."""
    line = mark.line + 1
    place = SpecProblem(message, file, line, mark.column + 1, "", remedy, line_of(lines, line), 1)
    return SpecError([place])
