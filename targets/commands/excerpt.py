"""Texts of rows as a person reads them: their own lines, in the width there is, not too many."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from nexus.printable import printable


def excerpt(text: str, columns: int, most: int) -> list[str]:
    """Lines of at most `columns`, the text's own ones kept; what is beyond `most` is counted."""
    own = printable(text).expandtabs(4).splitlines()
    if not own or text.endswith("\n"):
        own.append("")
    lines = [
        part.rstrip()
        for line in own
        for part in textwrap.wrap(
            line, columns, drop_whitespace=False, replace_whitespace=False, break_on_hyphens=False
        )
        or [""]
    ]
    if len(lines) > most:
        lines = [*lines[: most - 1], f"… {len(lines) - most + 1:,} more lines"]
    return lines


def labelled_lines(label: str, text: str, *, indent: int, columns: int, most: int) -> Iterator[str]:
    """The excerpt, `indent` columns in, next to its label."""
    for number, line in enumerate(excerpt(text, columns - indent, most)):
        beside = f"{label}:" if number == 0 else ""
        yield f"{beside:<{indent}}{line}".rstrip()
