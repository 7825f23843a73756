"""Text from outside, made safe to show: a terminal obeys some characters, and hides others."""

from __future__ import annotations

import re

# Control characters but for tab and line ends (ECMA-48 escapes begin with them), delete, line
# separators, what turns the direction of writing (Unicode annex 9), halves of surrogate pairs.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    "|\r(?!\n)"
)


def printable(text: str) -> str:
    """The text with every such character as `\\u001b`; tabs and line ends stay.

    JSON text stays JSON, and says the same. Every result can be encoded in UTF-8.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
