"""Words that must be changed to get from the answer to the reference."""

from __future__ import annotations

from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row
from modalities.text.words import places_of_words, words_of

UNIT = "errors per word"
HIGHER_IS_BETTER = False
UNBOUNDED = True


def word_error_rates(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """Words to insert, delete or exchange, per word of the reference; may exceed 1."""
    rates = []
    for row, answer in zip(rows, answers):
        reference, given = words_of(row["answer"]), words_of(answer["answer"])
        rates.append(edit_distance(reference, given) / max(1, len(reference)))
    return rates


def reference_words(row: Row) -> float:
    """What an item counts in a word error rate over all text; never nothing."""
    return float(max(1, len(words_of(row["answer"]))))


def silence(rows: Sequence[Row]) -> float:
    """The word error rate of an empty answer."""
    return 1.0


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein distance over words, bit-parallel: two integers hold where a row of the table
    rises and falls (Myers 1999, as in Hyyrö 2003, figure 7).
    """
    if not one:
        return len(other)
    places = places_of_words(one)
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, distance = full, 0, len(one)
    for word in other:
        matches = places.get(word, 0)
        down = matches | falls
        along = (((matches & rises) + rises) ^ rises) | matches
        up_along, down_along = falls | ~(along | rises) & full, rises & along
        distance += bool(up_along & last) - bool(down_along & last)
        up_along, down_along = (up_along << 1 | 1) & full, (down_along << 1) & full
        rises, falls = down_along | ~(down | up_along) & full, up_along & down
    return distance


METRIC = Metric(
    "word_error_rate",
    UNIT,
    HIGHER_IS_BETTER,
    word_error_rates,
    weigh=reference_words,
    chance=silence,
)
