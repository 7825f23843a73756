"""Words of a text, and how much of two texts' words is common."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, without case."""
    return WORD.findall(text.casefold())


def places_of_words(words: Sequence[str]) -> dict[str, int]:
    """word -> an integer with a bit for every place where it stands."""
    places: dict[str, int] = {}
    for index, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << index
    return places


def f1_of_counts(common: int, reference: int, given: int) -> float:
    """Harmonic mean of precision and recall, of counts of words; two empty texts agree."""
    if reference == given == 0:
        return 1.0
    return 2 * common / (reference + given)
