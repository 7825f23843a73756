"""Training prompts that are almost an `eval` prompt: an answer known by heart is no capability.

Similarity is Jaccard's: of all runs of three words that either prompt has, the share that both
have. Every pair above a threshold is found, none is guessed: two sets can only be that similar
where they share one of their rarest members (prefix filtering: Chaudhuri, Ganti and Kaushik,
ICDE 2006; Bayardo, Ma and Srikant, WWW 2007, section 3), so few pairs are ever compared.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from modalities.text.row import normal_form

REPORTED_SIMILARITY = 0.8
WORDS_TOGETHER = 3
ROUNDING = 1e-9  # 0.55 of 20 is 11, and a little more to a processor
# Scripts that write no spaces count by the character.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True)
class Pair:
    """Index of a training prompt, index of the `eval` prompt most like it, and how like."""

    train: int
    held_out: int
    similarity: float


def near_duplicates(
    train: Sequence[str], held_out: Sequence[str], least: float = REPORTED_SIMILARITY
) -> list[Pair]:
    """Every training prompt with an `eval` prompt at least so similar, in the order of `train`."""
    known: dict[str, int] = {}
    sets = [_pieces(prompt, known) for prompt in (*held_out, *train)]
    counts = Counter(piece for pieces in sets for piece in pieces)
    rarest_first = {piece: place for place, (piece, _) in enumerate(reversed(counts.most_common()))}
    ordered = [sorted(pieces, key=rarest_first.__getitem__) for pieces in sets]

    by_piece: dict[int, list[int]] = defaultdict(list)
    for index, pieces in enumerate(ordered[: len(held_out)]):
        for piece in pieces[: _prefix(len(pieces), least)]:
            by_piece[piece].append(index)
    pairs = []
    for index, pieces in enumerate(ordered[len(held_out) :]):
        own = sets[len(held_out) + index]
        candidates = {
            other
            for piece in pieces[: _prefix(len(pieces), least)]
            for other in by_piece.get(piece, ())
        }
        best, similarity = -1, 0.0
        for other in sorted(candidates):
            theirs = sets[other]
            if min(len(own), len(theirs)) < least * max(len(own), len(theirs)) - ROUNDING:
                continue
            both = len(own & theirs)
            found = both / (len(own) + len(theirs) - both)
            if found > similarity:
                best, similarity = other, found
        if best >= 0 and similarity >= least:
            pairs.append(Pair(index, best, similarity))
    return pairs


def _pieces(prompt: str, known: dict[str, int]) -> set[int]:
    """Numbers of a prompt's runs of words; one too short for a run is a piece as a whole."""
    words = WORD.findall(normal_form(prompt))
    runs = len(words) - WORDS_TOGETHER + 1
    texts = [" ".join(words[start : start + WORDS_TOGETHER]) for start in range(max(1, runs))]
    return {known.setdefault(text, len(known)) for text in texts}


def _prefix(size: int, least: float) -> int:
    """How many of the rarest pieces must be looked at: similar sets share one of them."""
    return size - math.ceil(least * size - ROUNDING) + 1
