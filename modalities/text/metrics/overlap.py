"""Partly right: overlap of words between an answer and its reference."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from modalities.metric import Answer, Row

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
WORD = re.compile(r"\w+")


def token_f1s(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """F1 over the words of answer and reference, normalised as SQuAD does (Rajpurkar 2016)."""
    return [
        _f1(_squad_words(row["answer"]), _squad_words(answer["answer"]))
        for row, answer in zip(rows, answers)
    ]


def rouge_ls(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004), without stemming."""
    scores = []
    for row, answer in zip(rows, answers):
        reference, given = _words(row["answer"]), _words(answer["answer"])
        common = longest_common_subsequence(reference, given)
        scores.append(_harmonic(common, len(reference), len(given)))
    return scores


def word_error_rates(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """Words to insert, delete or exchange, per word of the reference; may exceed 1."""
    rates = []
    for row, answer in zip(rows, answers):
        reference, given = _words(row["answer"]), _words(answer["answer"])
        rates.append(edit_distance(reference, given) / max(1, len(reference)))
    return rates


def reference_words(row: Row) -> float:
    """What an item counts in a word error rate over all text; never nothing."""
    return float(max(1, len(_words(row["answer"]))))


def silence(rows: Sequence[Row]) -> float:
    """The word error rate of an empty answer."""
    return 1.0


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, bit-parallel: a row of the table is one integer (Hyyrö 2004)."""
    places = _places(one)
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(one) - row.bit_count()


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein distance over words, bit-parallel: two integers hold where a row of the table
    rises and falls (Myers 1999, as in Hyyrö 2003, figure 7).
    """
    if not one:
        return len(other)
    places = _places(one)
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


def _places(words: Sequence[str]) -> dict[str, int]:
    """word -> an integer with a bit for every place where it stands."""
    places: dict[str, int] = {}
    for index, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << index
    return places


def _f1(reference: list[str], given: list[str]) -> float:
    common = (Counter(reference) & Counter(given)).total()
    return _harmonic(common, len(reference), len(given))


def _harmonic(common: int, reference: int, given: int) -> float:
    """Harmonic mean of precision and recall; two empty texts agree."""
    if reference == given == 0:
        return 1.0
    return 2 * common / (reference + given)


def _squad_words(text: str) -> list[str]:
    plain = text.casefold().translate(PUNCTUATION)
    return ARTICLES.sub(" ", plain).split()


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())
