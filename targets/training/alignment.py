"""A teacher's distributions in the student's vocabulary, where their tokens meet.

Both tokenizers cut the same answer, and positions are compared by their offset in its UTF-8
bytes: where a token of each starts at the same byte, the teacher's next-token distribution says
something about the student's. A teacher's token gives its mass to the student's token of the
same bytes, or else to the first token into which the student cuts those bytes. Where the
student's actual token spans several of the teacher's, the chain rule over them gives its
probability. What reaches no student token stays in the tail; nothing is renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from targets.teachers.encoding import answer_byte_ends, token_bytes
from targets.trace.shards import TracedRow

NOTHING = -1


@dataclass(frozen=True)
class Soft:
    """Soft targets of one answer in the student's vocabulary.

    ids: (tokens, k) int32, NOTHING where a column is unused; each id once per position.
    probs: (tokens, k) float32. What they leave below 1 is the tail. positions: (tokens,) the
    teacher's answer token that starts at the same byte, -1 where it says nothing.
    """

    ids: NDArray[np.int32]
    probs: NDArray[np.float32]
    positions: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(tokens,) where the teacher's distribution says something about this position."""
        return self.positions >= 0


class Alignment:
    """From one teacher's tokenizer to the student's. vocabulary: of the teacher's head."""

    def __init__(
        self, teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, vocabulary: int
    ) -> None:
        self._student_pieces = token_bytes(student)
        self._first_token = first_student_tokens(teacher, student, vocabulary)

    def soft_targets(self, traced: TracedRow, answer_ids: Sequence[int]) -> Soft:
        """The teacher's distributions at the positions of the student's `answer_ids`."""
        k = traced.top_ids.shape[1]
        count = len(answer_ids)
        ids = np.full((count, k), NOTHING, dtype=np.int32)
        probs = np.zeros((count, k), dtype=np.float32)
        ends = answer_byte_ends(self._student_pieces, list(answer_ids), traced.row["answer"])
        if not ends or traced.byte_ends[0] < 0:
            return Soft(ids, probs, np.full(count, -1, dtype=np.int64))
        student_ends = np.array(ends)
        positions = _positions(traced.byte_ends, student_ends)
        known = positions >= 0
        at = positions[known]
        ids[known] = self._first_token[traced.top_ids[at].astype(np.int64)]
        probs[known] = np.exp(traced.top_log_probs[at].astype(np.float32))
        probs[ids == NOTHING] = 0.0
        _pin_actual_tokens(ids, probs, traced, positions, student_ends, answer_ids)
        _merge_repeated(ids, probs)
        return Soft(ids, probs, positions)


def first_student_tokens(
    teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, vocabulary: int
) -> NDArray[np.int32]:
    """For each of the teacher's ids the student's id that its text starts with, or NOTHING.

    vocabulary: of the teacher's head, which is often padded beyond what its tokenizer knows.
    """
    by_bytes = {
        piece: index for index, piece in enumerate(token_bytes(student)) if piece is not None
    }
    result = np.full(max(len(teacher), vocabulary), NOTHING, dtype=np.int32)
    for index, piece in enumerate(token_bytes(teacher)):
        if piece:
            result[index] = _first(piece, by_bytes, student)
    if teacher.eos_token_id is not None:
        result[teacher.eos_token_id] = student.eos_token_id
    return result


def _first(piece: bytes, by_bytes: dict[bytes, int], student: PreTrainedTokenizerBase) -> int:
    if piece in by_bytes:
        return by_bytes[piece]
    text = piece.decode("utf-8", errors="ignore")
    if text.encode() == piece:
        cut = student(text, add_special_tokens=False).input_ids
        return int(cut[0]) if cut else NOTHING
    # Part of a character: the longest token that it starts with.
    for size in range(len(piece), 0, -1):
        if piece[:size] in by_bytes:
            return by_bytes[piece[:size]]
    return NOTHING


def _positions(teacher_ends: NDArray[Any], student_ends: NDArray[Any]) -> NDArray[np.int64]:
    """Per student token the index of the teacher token that starts at the same byte, or -1.

    The end-of-sequence token has no bytes and starts where the answer ends; several tokens can
    start at one byte only there, and the last of them is meant on both sides.
    """
    starts_of_teacher = np.concatenate([[0], teacher_ends[:-1]])
    index_of = {int(start): index for index, start in enumerate(starts_of_teacher)}
    starts = np.concatenate([[0], student_ends[:-1]])
    return np.array([index_of.get(int(start), -1) for start in starts])


def _pin_actual_tokens(
    ids: NDArray[np.int32],
    probs: NDArray[np.float32],
    traced: TracedRow,
    positions: NDArray[np.int64],
    student_ends: NDArray[Any],
    answer_ids: Sequence[int],
) -> None:
    """Where the student's token spans several teacher tokens, give it their product."""
    index_of_end = {int(end): index for index, end in enumerate(traced.byte_ends[:-1])}
    for token, first in enumerate(positions[:-1]):
        if first < 0:
            continue
        last = index_of_end.get(int(student_ends[token]), -1)
        if last <= first:
            continue
        chain = float(traced.token_log_probs[first : last + 1].astype(np.float32).sum())
        same = np.nonzero(traced.top_ids[first] == traced.answer_ids[first])[0]
        column = int(same[0]) if len(same) else ids.shape[1] - 1
        ids[token, column] = answer_ids[token]
        probs[token, column] = np.exp(chain)


def _merge_repeated(ids: NDArray[np.int32], probs: NDArray[np.float32]) -> None:
    """Add up columns of one position that name the same token; the later ones fall away."""
    same = ids[:, :, None] == ids[:, None, :]  # (tokens, k, k)
    totals = np.einsum("tij,tj->ti", same, probs)
    first = ~np.tril(same, -1).any(axis=-1) & (ids != NOTHING)
    probs[:] = np.where(first, totals, 0.0)
    ids[~first] = NOTHING
