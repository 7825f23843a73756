"""What a command could not know and left for the person to write: comments `# FILL IN: what`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from specs.document import Document
from specs.problems import SpecProblem

FILL_IN = "FILL IN:"
_COMMENT = re.compile(rf"(?:^|\s)(#\s*{FILL_IN}\s*(.*?))\s*$")


def to_fill_in(document: Document) -> Iterator[SpecProblem]:
    """A problem for each such comment that is left."""
    for number, line in enumerate(document.lines, start=1):
        found = _COMMENT.search(line)
        if found:
            yield SpecProblem(
                message=f"is left to fill in: {found[2] or 'see the line'}",
                file=document.file,
                line=number,
                column=found.start(1) + 1,
                remedy="write it, then delete this comment",
                source_line=line,
                length=len(found[1]),
            )
