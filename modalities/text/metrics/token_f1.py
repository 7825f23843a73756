"""Words that answer and reference share, wherever they stand."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from modalities.metric import Answer, Metric, Row
from modalities.text.words import f1_of_counts

UNIT = "F1"
HIGHER_IS_BETTER = True

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def token_f1s(rows: Sequence[Row], answers: Sequence[Answer]) -> list[float]:
    """F1 over the words of answer and reference, normalised as SQuAD does (Rajpurkar 2016)."""
    return [
        _f1(_squad_words(row["answer"]), _squad_words(answer["answer"]))
        for row, answer in zip(rows, answers)
    ]


def _f1(reference: list[str], given: list[str]) -> float:
    common = (Counter(reference) & Counter(given)).total()
    return f1_of_counts(common, len(reference), len(given))


def _squad_words(text: str) -> list[str]:
    plain = text.casefold().translate(PUNCTUATION)
    return ARTICLES.sub(" ", plain).split()


METRIC = Metric("token_f1", UNIT, HIGHER_IS_BETTER, token_f1s)
