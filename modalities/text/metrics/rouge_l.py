"""Words that answer and reference share in the same order."""

from __future__ import annotations

from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row
from modalities.text.words import f1_of_counts, places_of_words, words_of

UNIT = "F1"
HIGHER_IS_BETTER = True


def rouge_ls(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004), without stemming."""
    scores = []
    for row, answer in zip(rows, answers):
        reference, given = words_of(row["answer"]), words_of(answer["answer"])
        common = longest_common_subsequence(reference, given)
        scores.append(f1_of_counts(common, len(reference), len(given)))
    return scores


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, bit-parallel: a row of the table is one integer (Hyyrö 2004)."""
    places = places_of_words(one)
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(one) - row.bit_count()


METRIC = Metric("rouge_l", UNIT, HIGHER_IS_BETTER, rouge_ls)
