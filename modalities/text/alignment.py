"""A teacher's distributions in the student's vocabulary, whatever each calls a token.

Both tokenizers cut the same answer, and places are compared by their offset in its UTF-8 bytes.
Where a token of each starts at the same byte, the teacher's next-token distribution is one over
what the student says next. Where the student stands inside a teacher's token, it is what is left
of that distribution once the bytes since the token's start are known (Phan et al. 2024, "Exact
Byte-Level Probabilities from Tokenized Language Models", section 3, over the top k). A teacher's
token gives its mass to the student's token of the same bytes, or else to the first token into
which the student cuts them; the token that was really said gives it to the student's real one, by
the chain rule where the student's reaches into the teacher's next. What reaches no student token
stays in the tail; nothing is renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.encoding import answer_byte_ends, token_bytes
from modalities.text.shards import TracedRow

NOTHING = -1


@dataclass(frozen=True)
class Soft:
    """Soft targets of one answer in the student's vocabulary.

    ids: (tokens, k) int32, NOTHING where a column is unused; each id once per position.
    probs: (tokens, k) float32. What they leave below 1 is the tail. known: (tokens,) where the
    teacher says something. positions: (tokens,) the teacher's answer token that starts at the
    same byte, -1 where none does.
    """

    ids: NDArray[np.int32]
    probs: NDArray[np.float32]
    known: NDArray[np.bool_]
    positions: NDArray[np.int64]


class Alignment:
    """From one teacher's tokenizer to the student's. vocabulary: of the teacher's head."""

    def __init__(
        self, teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, vocabulary: int
    ) -> None:
        self._teacher_pieces = token_bytes(teacher)
        self._student_pieces = token_bytes(student)
        self._first = FirstToken(student)
        # The student's token for each of the teacher's; a head is often padded beyond them.
        self._of_token = np.full(max(len(teacher), vocabulary), NOTHING, dtype=np.int32)
        self._same = teacher.get_vocab() == student.get_vocab()
        for index, piece in enumerate(self._teacher_pieces):
            if self._same:
                self._of_token[index] = index
            elif piece:
                self._of_token[index] = self._first(piece)
        if teacher.eos_token_id is not None:
            self._of_token[teacher.eos_token_id] = student.eos_token_id

    def soft_targets(self, traced: TracedRow, answer_ids: Sequence[int]) -> Soft:
        """The teacher's distributions at the positions of the student's `answer_ids`."""
        if self._same and traced.answer_ids.tolist() == list(answer_ids):
            return self._carried_over(traced, np.arange(len(answer_ids)))
        ends = answer_byte_ends(self._student_pieces, list(answer_ids), traced.row["answer"])
        if not ends or traced.byte_ends[0] < 0:
            return self._carried_over(traced, np.full(len(answer_ids), -1))
        answer = TeachersAnswer(traced, self._teacher_pieces)
        starts = np.array([0, *ends[:-1]])
        # Of several tokens that start at one byte, as one without bytes and its successor do, the
        # last is meant on both sides.
        last = np.append(starts[1:] > starts[:-1], True)
        at = np.searchsorted(answer.starts, starts, side="right") - 1
        soft = self._carried_over(traced, np.where(last & (answer.starts[at] == starts), at, -1))
        # Where both say the same token, all is in place: the rest is to be worked out.
        same = self._of_token[traced.answer_ids[at]] == answer_ids
        done = soft.known & same & (traced.byte_ends[at] == ends) & (at >= answer.unspoken)
        for place in np.nonzero(last & ~done)[0].tolist():
            self._work_out(soft, place, int(answer_ids[place]), answer, starts[place], ends[place])
        _merge_repeated(soft.ids, soft.probs)
        return soft

    def _carried_over(self, traced: TracedRow, positions: NDArray[np.int64]) -> Soft:
        """The distributions of the teacher's tokens at `positions`, nothing where they are -1."""
        known = positions >= 0
        ids = self._of_token[traced.top_ids[positions].astype(np.int64)]
        ids[~known] = NOTHING
        probs = np.exp(traced.top_log_probs[positions].astype(np.float32))
        probs[ids == NOTHING] = 0.0
        return Soft(ids, probs, known, positions)

    def _work_out(
        self, soft: Soft, place: int, actual: int, answer: TeachersAnswer, start: int, end: int
    ) -> None:
        """Write what the teacher says of one of the student's tokens, from byte to byte."""
        said = answer.said_from(start)
        soft.known[place] = bool(said)
        soft.ids[place], soft.probs[place] = NOTHING, 0.0
        for column, one in enumerate(said[: soft.ids.shape[1]]):
            if column == 0 and end > start:
                token, prob = actual, one.prob * answer.goes_on(start, end)
            else:
                token = self._first(one.piece) if one.piece else int(self._of_token[one.index])
                prob = one.prob
            if token != NOTHING:
                soft.ids[place, column], soft.probs[place, column] = token, prob


@dataclass(frozen=True)
class Said:
    """One of the teacher's tokens, as what it adds after some byte.

    index: its id. piece: its bytes from there on, empty where it has none. prob: given the bytes
    before.
    """

    index: int
    piece: bytes
    prob: float


class TeachersAnswer:
    """What a teacher says of an answer's next bytes, from any byte of it on.

    starts: (tokens,) byte at which each of the teacher's tokens starts. unspoken: 1 where the first
    token begins with a space that is not the answer's, as SentencePiece puts before any text; else
    0.
    """

    def __init__(self, traced: TracedRow, pieces: Sequence[bytes | None]) -> None:
        self.starts = np.concatenate([[0], traced.byte_ends[:-1]])
        self._ends = traced.byte_ends
        self._text = str(traced.row["answer"]).encode()
        self._traced = traced
        self._pieces = pieces
        self._named_before: dict[int, tuple[list[Said], float]] = {}
        first = self._piece(int(traced.answer_ids[0]))
        self.unspoken = len(first) - int(traced.byte_ends[0])

    def said_from(self, byte: int) -> list[Said]:
        """The likeliest ways to go on, what was really said first.

        Inside a token, only those that begin with its bytes up to there are left, and the tail
        may be any of them or none. Empty where it is most of what is left: nothing is known then.
        """
        token = self._token_at(byte)
        before = self._text[self.starts[token] : byte]
        if token not in self._named_before:
            self._named_before[token] = self._named_probabilities(token)
        named, tail = self._named_before[token]
        if not before:
            return named
        left = [one for one in named if one.piece.startswith(before)]
        mass = sum(one.prob for one in left)
        if mass <= tail:
            return []
        size = len(before)
        return [
            Said(one.index, one.piece[size:], one.prob / (mass + tail))
            for one in left
            if len(one.piece) > size
        ]

    def goes_on(self, start: int, end: int) -> float:
        """Probability of the bytes up to `end`, given the token that was said at `start`."""
        token, prob = self._token_at(start), 1.0
        while self._ends[token] < end:
            token += 1
            if self._ends[token] <= end:
                prob *= float(np.exp(np.float32(self._traced.token_log_probs[token])))
            else:
                begun = self._text[self.starts[token] : end]
                named, _ = self._named_probabilities(token)
                prob *= sum(one.prob for one in named if one.piece.startswith(begun))
        return prob

    def _token_at(self, byte: int) -> int:
        return int(np.searchsorted(self.starts, byte, side="right")) - 1

    def _named_probabilities(self, token: int) -> tuple[list[Said], float]:
        """The actual token and the likeliest others, and the mass of all the rest."""
        actual = int(self._traced.answer_ids[token])
        probs = np.exp(self._traced.top_log_probs[token].astype(np.float32)).tolist()
        top = dict(zip(self._traced.top_ids[token].tolist(), probs, strict=True))
        tail = float(np.exp(np.float32(self._traced.tail_log_probs[token])))
        if actual not in top:
            of_actual = float(np.exp(np.float32(self._traced.token_log_probs[token])))
            top, tail = {actual: of_actual, **top}, max(0.0, tail - of_actual)
        order = sorted(top, key=lambda index: index != actual)
        named = [Said(index, self._piece(index), top[index]) for index in order]
        if token < self.unspoken:
            spaced = [one for one in named if one.piece[:1] == b" " and one.piece[1:]]
            tail += sum(one.prob for one in named) - sum(one.prob for one in spaced)
            named = [Said(one.index, one.piece[1:], one.prob) for one in spaced]
        return named, tail

    def _piece(self, index: int) -> bytes:
        return (self._pieces[index] if index < len(self._pieces) else None) or b""


class FirstToken:
    """The student's token that a teacher's begins with, by the bytes that it stands for.

    The one of the same bytes, or else the first into which the student cuts them; of bytes that
    are no text, the longest that they begin with.
    """

    def __init__(self, student: PreTrainedTokenizerBase) -> None:
        self._student = student
        self._pieces = token_bytes(student)
        self._same = {piece: index for index, piece in enumerate(self._pieces) if piece}
        self._found: dict[bytes, int] = {}

    def __call__(self, piece: bytes) -> int:
        """An id of the student's, or NOTHING where none begins so."""
        if piece in self._same:
            return self._same[piece]
        if piece not in self._found:
            self._found[piece] = self._find(piece)
        return self._found[piece]

    def _find(self, piece: bytes) -> int:
        text = piece.decode("utf-8", errors="ignore")
        if text.encode() == piece:
            cut = self._student(text, add_special_tokens=False).input_ids
            # A tokenizer may put a space before any text: that is not what the teacher said.
            if cut and piece.startswith(self._pieces[cut[0]] or b"\0"):
                return int(cut[0])
        shorter = (piece[:size] for size in range(len(piece) - 1, 0, -1))
        return next((self._same[part] for part in shorter if part in self._same), NOTHING)


def _merge_repeated(ids: NDArray[np.int32], probs: NDArray[np.float32]) -> None:
    """Add up columns of one position that name the same token; the later ones fall away."""
    same = ids[:, :, None] == ids[:, None, :]  # (tokens, k, k)
    totals = np.einsum("tij,tj->ti", same, probs)
    first = ~np.tril(same, -1).any(axis=-1) & (ids != NOTHING)
    probs[:] = np.where(first, totals, 0.0)
    ids[~first] = NOTHING
