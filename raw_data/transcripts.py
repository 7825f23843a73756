"""Dialogue as plain text: a speaker's name, a colon and what is said, line by line."""

from __future__ import annotations

import re
from typing import Any

TURN = re.compile(
    r"^\s*(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?[\])]?\s*)?"  # perhaps a time
    r"[*#\s]*([A-Za-z][\w .'-]{0,30}?)(?:\s*\([^)]{0,20}\))?[*]*\s*:[*]*\s*(\S.*)$"
)
LEAST_TURNS = 4
LEAST_SHARE = 0.5
MOST_SPEAKERS = 12


def transcript(text: str) -> list[dict[str, Any]]:
    """The turns of a transcript as messages `{"role", "content"}`; empty where it is none.

    A line without a speaker goes on with what was said. Speakers are few and come back.
    """
    lines = [line for line in text.split("\n", 2000)[:2000] if line.strip()]
    turns: list[dict[str, Any]] = []
    spoken = 0
    for line in lines:
        match = TURN.match(line)
        if match:
            spoken += 1
            turns.append({"role": match[1].strip().lower(), "content": match[2].strip()})
        elif turns:
            turns[-1]["content"] += "\n" + line
    speakers = {turn["role"] for turn in turns}
    if (
        spoken < max(LEAST_TURNS, LEAST_SHARE * len(lines))
        or not 2 <= len(speakers) <= MOST_SPEAKERS
        or spoken < 2 * len(speakers)
    ):
        return []
    return turns
