"""What a command could not know and left for the person to write: comments `# FILL IN: what`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from specs.document import Document, FieldPath
from specs.problems import SpecProblem

FILL_IN = "FILL IN:"
LEFT = "is left to fill in"
_COMMENT = re.compile(rf"(?:^|\s)(#\s*{FILL_IN}\s*(.*?))\s*$")


def to_fill_in(document: Document) -> Iterator[SpecProblem]:
    """A problem for each such comment that is left."""
    for number, line in enumerate(document.lines, start=1):
        found = _COMMENT.search(line)
        if found:
            yield SpecProblem(
                message=f"{LEFT}: {found[2] or 'see the line'}",
                file=document.file,
                line=number,
                column=found.start(1) + 1,
                field=document.dotted(_field(document, number)),
                remedy="write it, then delete this comment",
                source_line=line,
                length=len(found[1]),
            )


def gather_alike(problems: Iterable[SpecProblem]) -> list[SpecProblem]:
    """The problems as a person reads them: of all that want the same filled in, the first, which
    says where the others are.
    """
    found: dict[tuple[object, ...], list[SpecProblem]] = {}
    for problem in problems:
        alike = problem.message.startswith(LEFT)
        place = () if alike else (problem.line, problem.column, problem.field)
        found.setdefault((problem.message, *place), []).append(problem)
    return [_with_others(first, others) for first, *others in found.values()]


def _with_others(first: SpecProblem, others: Sequence[SpecProblem]) -> SpecProblem:
    if not others or not first.message.startswith(LEFT):
        return first
    lines = ", ".join(str(each.line) for each in others)
    more = f"{len(others)} more lines" if len(others) > 1 else "one more line"
    return replace(first, remedy=f"{first.remedy}; the same on {more}: {lines}")


def _field(document: Document, line: int) -> FieldPath:
    """The field that ends on a line; for a comment of its own, the entry that it stands in."""
    above = [(span.line, span.column, path) for path, span in document.keys.items()]
    above = [each for each in above if each[0] <= line]
    if not above:
        return ()
    last, _, path = max(above)
    return path if last == line else path[:-1]
