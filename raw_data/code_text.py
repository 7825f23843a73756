"""Whether a text is program code: by its shape, for a line of code often does not parse alone."""

from __future__ import annotations

import re

FENCE = re.compile(r"```[a-zA-Z+#]*\n")
STATEMENT = re.compile(
    r"""^\s*(
        (from\s+[\w.]+\s+)?import\s+[\w.*{(]
      | (async\s+)?def\s+\w+\s*\( | class\s+\w+.*[:{]\s*$ | function\s+\w*\s*\( | func\s+\w+\s*\(
      | (if|elif|for|while|with|try|else|except|finally|switch)\b.*[:{]\s*$
      | return\b(?!\s+[a-z]+\s+[a-z]+\s+[a-z]+) | raise\s+\w+ | assert\s+\S+ | yield\b | del\s+\w
      | pass\s*$ | break\s*$ | continue\s*$ | global\s+\w+ | @\w[\w.]*
      | [\w.\[\]'"]+(\s*,\s*[\w.\[\]]+)*\s*(=|\+=|-=|\*=|:=)\s*\S
      | [\w.]+\(.*\)?\s*;?$ | [}\])]+[;,:]?$
      | (public|private|static|const|let|var|int|void)\b.*[;({]\s*$
      | \#include\b | (SELECT|INSERT|UPDATE|CREATE)\b.*;?$
    )""",
    re.VERBOSE,
)
SPACED = re.compile(
    r" ([.(\[]) | ([.(\[]) "
)  # `self . cache ( key )`, as data sets of tokens have it
LINES = 60
LEAST_SHARE = 0.5


def looks_like_code(text: str) -> bool:
    """Whether a fenced block stands in the text, or at least half of its lines are statements."""
    if FENCE.search(text):
        return True
    lines = [line for line in text.splitlines()[:LINES] if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith(("#", "//", '"""', "'''", "*"))]
    return bool(lines) and sum(map(_is_statement, lines)) >= LEAST_SHARE * len(lines)


def _is_statement(line: str) -> bool:
    return STATEMENT.match(SPACED.sub(r"\1\2", line)) is not None
