"""The teacher's own answers to pilot rows, and what the capability's metric says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from nexus.decoding import answer_log_probs, greedy_decode
from nexus.prompt import cut
from targets.answers import Description
from targets.metrics import get_metric, score_rows
from targets.metrics.likelihood import bits_per_byte
from targets.profile.structure import Structure
from targets.teachers.encoding import Encoded, encode_row

# An answer longer than all of the whole teacher's by this many tokens is not waited for.
SPARE_TOKENS = 8


@dataclass(frozen=True)
class Answers:
    """Greedy answers of one model to some rows.

    tokens: ids without the end. texts: as decoded; scores: of the texts, cut where they stop.
    """

    rows: tuple[Mapping[str, Any], ...]
    tokens: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    scores: tuple[float, ...]

    def part(self, start: int, stop: int) -> Answers:
        """The answers to some of the rows."""
        span = slice(start, stop)
        return Answers(self.rows[span], self.tokens[span], self.texts[span], self.scores[span])

    def mean_score(self) -> float:
        """The metric over all rows."""
        return sum(self.scores) / len(self.scores)

    def room(self) -> int:
        """Tokens that answers to the same rows are given: the longest of these, and spare."""
        return max(len(tokens) for tokens in self.tokens) + SPARE_TOKENS


class Asker:
    """Asks a teacher, as it stands at that moment, for answers to pilot rows."""

    def __init__(
        self,
        structure: Structure,
        tokenizer: PreTrainedTokenizerBase,
        description: Description,
        metric: str,
        batch_size: int = 64,
    ) -> None:
        self.structure = structure
        self.tokenizer = tokenizer
        self.description = description
        self.metric = metric
        self.batch_size = batch_size

    def encoded(self, row: Mapping[str, Any]) -> Encoded:
        """The row with the data set's answer."""
        return encode_row(self.tokenizer, self.description.template, row["prompt"], row["answer"])

    def own(self, row: Mapping[str, Any], tokens: Sequence[int]) -> Encoded:
        """The row with an answer that the teacher gave, ended if it ended it."""
        prompt = self.encoded(row).prompt_ids
        ended = len(tokens) < self.description.max_new_tokens or not tokens
        end = [int(self.tokenizer.eos_token_id)] if ended else []
        return Encoded(prompt, [*tokens, *end])

    def ask(self, rows: Sequence[Mapping[str, Any]], max_new_tokens: int | None = None) -> Answers:
        """Greedy answers to `rows`, cut at the data set's stop strings and scored."""
        longest = self.description.max_new_tokens
        tokens = greedy_decode(
            self.structure.model,
            [self.encoded(row).prompt_ids for row in rows],
            max_new_tokens=min(longest, max_new_tokens or longest),
            eos_token_id=int(self.tokenizer.eos_token_id),
            batch_size=self.batch_size,
        )
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        answers = [
            {"id": row["id"], "answer": cut(text, self.description.stop_strings)}
            for row, text in zip(rows, texts, strict=True)
        ]
        if get_metric(self.metric).score_all is bits_per_byte:
            answers = self._with_likelihoods(rows, answers)
        scores = score_rows(self.metric, rows, answers)
        return Answers(
            tuple(rows),
            tuple(tuple(row) for row in tokens),
            tuple(texts),
            tuple(float(score) for score in scores),
        )

    def _with_likelihoods(
        self, rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """The answers with how likely the references are: nats, tokens, bytes."""
        encoded = [self.encoded(row) for row in rows]
        log_probs = answer_log_probs(
            self.structure.model,
            [row.prompt_ids for row in encoded],
            [row.answer_ids for row in encoded],
            batch_size=self.batch_size,
        )
        return [
            {
                **answer,
                "log_prob": log_prob,
                "tokens": len(ids.answer_ids),
                "bytes": len(row["answer"].encode()),
            }
            for answer, log_prob, ids, row in zip(answers, log_probs, encoded, rows, strict=True)
        ]
