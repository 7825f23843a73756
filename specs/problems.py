"""Everything that is wrong with a spec, as values: what, where, what to do."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SpecProblem:
    """One mistake. line and column count from 1.

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

    @property
    def excerpt(self) -> str:
        """The place, underlined; empty where there is none to show."""
        if self.line is None or self.column is None or not self.source_line:
            return ""
        return underlined(self.source_line, self.line, self.column, self.length)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        first = ": ".join(part for part in (place, self.field, self.message) if part)
        return "\n".join(part for part in (first, self.excerpt, indented(self.remedy)) if part)


class SpecError(Exception):
    """A spec that cannot be used; carries every problem found, not the first."""

    def __init__(self, problems: Iterable[SpecProblem]) -> None:
        self.problems = sorted(
            problems, key=lambda problem: (problem.line or 0, problem.column or 0, problem.field)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


def line_of(lines: list[str], line: int) -> str:
    """The line of that number, from 1; empty where there is none."""
    return lines[line - 1] if 1 <= line <= len(lines) else ""


def indented(text: str) -> str:
    """The text's lines, four spaces in."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that the written one was most likely meant to be."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(name: object, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    close = nearest(name, known)
    return f"; did you mean {close}?" if close else ""


def known_names(names: Iterable[str]) -> str:
    """Names as a list for a message."""
    listed = sorted(names)
    return ", ".join(listed) if listed else "none yet"


EXCERPT_WIDTH = 70


def underlined(source_line: str, line: int, column: int, length: int) -> str:
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
