"""Everything that is wrong with a spec, as values: what, where, what to do."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

# What is shown of one error; nobody mends more at once.
MOST_SHOWN = 100
MOST_LETTERS = 1000
# Names among which the likeliest is looked for, and which a message lists.
MOST_COMPARED = 300
MOST_LISTED = 60


@dataclass(frozen=True)
class SpecProblem:
    """One mistake. line and column count from 1. count: how many mistakes it stands for.

    source_line: the line as it stands in the file; length: characters of it, from `column`, that
    are meant.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    field: str = ""
    remedy: str = ""
    source_line: str = ""
    length: int = 0
    count: int = 1

    @property
    def excerpt(self) -> str:
        """The place, underlined; empty where there is none to show."""
        if self.line is None or self.column is None or not self.source_line:
            return ""
        return underlined_line(self.source_line, self.line, self.column, self.length)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        first = ": ".join(part for part in (place, self.field, self.message) if part)
        return "\n".join(part for part in (first, self.excerpt, indent(self.remedy)) if part)


class SpecError(Exception):
    """A spec that cannot be used; carries the problems found, not the first alone.

    Of many, those that stand first in the file, and one that says how many more there are.
    """

    def __init__(self, problems: Iterable[SpecProblem], more: int = 0) -> None:
        found = sorted(
            problems, key=lambda problem: (problem.line or 0, problem.column or 0, problem.field)
        )
        shown, rest = found[:MOST_SHOWN], found[MOST_SHOWN:]
        self.problems = [_shorten(problem) for problem in shown]
        more += sum(problem.count for problem in rest)
        if more:
            message = f"and {more:,} more problem{'s' if more > 1 else ''}"
            remedy = "mend these first; some of the others may have the same cause"
            file = shown[0].file if shown else ""
            self.problems.append(SpecProblem(message, file, remedy=remedy, count=more))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _shorten(problem: SpecProblem) -> SpecProblem:
    """The problem without the rest of texts that nobody reads to their end."""
    texts = (problem.message, problem.field, problem.remedy, problem.source_line)
    if max(map(len, texts)) <= MOST_LETTERS:
        return problem
    message, field, remedy = (
        text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…" for text in texts[:3]
    )
    source_line = problem.source_line[:MOST_LETTERS]
    return replace(problem, message=message, field=field, remedy=remedy, source_line=source_line)


def line_of(lines: list[str], line: int) -> str:
    """The line of that number, from 1; empty where there is none."""
    return lines[line - 1] if 1 <= line <= len(lines) else ""


def indent(text: str) -> str:
    """The text's lines, four spaces in."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that the written one was most likely meant to be."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = str(name).lower()
    if wanted in by_lower:
        return by_lower[wanted]
    # To compare takes long where there are many, or long ones, and then says little.
    if len(by_lower) > MOST_COMPARED or len(wanted) > 100:
        return None
    close = difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(name: object, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    close = nearest(name, known)
    return f"; did you mean {close}?" if close else ""


def known_names(names: Iterable[str]) -> str:
    """Names as a list for a message."""
    listed = sorted(names)
    more = len(listed) - MOST_LISTED
    rest = [f"and {more} more"] if more > 0 else []
    return ", ".join([*listed[:MOST_LISTED], *rest]) if listed else "none yet"


EXCERPT_WIDTH = 70


def underlined_line(source_line: str, line: int, column: int, length: int) -> str:
    """The line with its number and the offending part underlined, cut to a terminal's width."""
    text = "".join(letter if letter.isprintable() else " " for letter in source_line)
    start = min(column - 1, len(text))
    end = min(start + max(1, length), max(len(text), start + 1))
    if len(text) > EXCERPT_WIDTH <= end and start > EXCERPT_WIDTH // 2:
        cut = min(end - EXCERPT_WIDTH + 12, start - 1)
        text, start, end = "…" + text[cut + 1 :], start - cut, end - cut
    if len(text) > EXCERPT_WIDTH:
        text, end = text[: EXCERPT_WIDTH - 1] + "…", min(end, EXCERPT_WIDTH)
    margin = " " * len(str(line))
    underline = " " * _columns(text[:start]) + "^" * max(1, _columns(text[start:end]))
    return f"    {line} | {text}\n    {margin} | {underline}"


def _columns(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
