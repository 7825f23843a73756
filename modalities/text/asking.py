"""What a teacher makes of pilot rows, and how good that is: answers, or representations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from modalities.text.answers import Description, answer_end
from modalities.text.encoding import Encoded
from modalities.text.pilot_batches import batches
from modalities.text.reading import read_as as read_text_as
from modalities.text.teacher_decoding import answers_log_probs, greedy_answers
from nexus.prompt import cut
from opened_models.batches import MEDIA_TOKENS, Batch
from opened_models.loading import Teacher
from opened_models.losses import representations
from opened_models.structure import Structure
from opened_models.surgery import run_model

if TYPE_CHECKING:
    from modalities.metric import Metric

# An answer longer than all of the whole teacher's by this many tokens is not waited for.
SPARE_TOKENS = 8
# Rows that are answered side by side; more are hardly faster.
MOST_ROWS = 64

Row = Mapping[str, Any]
ReadAs = Callable[..., list[Encoded]]
"""`ReadingModule.read_as` of a room."""


@dataclass(frozen=True)
class Answers:
    """Greedy answers of one model to some rows.

    rows: a row that came without an answer has this one, with the ids that a decoder gave it
    (`answer_ids`): it is what the teacher is held to. tokens: ids without the end. texts: as
    decoded; scores: of the texts, cut where they stop. Of a model that answers nothing, `tokens`
    and `texts` are empty.
    """

    rows: tuple[Row, ...]
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
        return max((len(tokens) for tokens in self.tokens), default=0) + SPARE_TOKENS


class Asker(Protocol):
    """Asks a teacher, as it stands at that moment, about pilot rows.

    metric, higher_is_better: what `Answers.scores` are. unit: of the batches' losses.
    differentiable: whether the loss has a slope at the whole teacher. structure: the teacher's.
    """

    structure: Structure
    metric: str
    higher_is_better: bool
    unit: str
    differentiable: bool

    def lacks_answer(self, row: Row) -> bool:
        """Whether the teacher has to answer the row before it can be mapped or scored."""

    def ask(self, rows: Sequence[Row]) -> Answers:
        """Its answers and their scores."""

    def scores(self, whole: Answers) -> list[float]:
        """What the same rows score now; whole: as the whole teacher answered them."""

    def batches(self, rows: Sequence[Row], max_tokens: int) -> list[Batch]:
        """The rows with the data set's answers, or the teacher's own where it has none."""

    def own_batches(self, whole: Answers, max_tokens: int) -> list[Batch]:
        """The rows with what the whole teacher made of them, for losses."""


def asker_of(
    teacher: Teacher,
    structure: Structure,
    description: Description,
    metric: Metric,
    rows: Sequence[Row],
    batch_tokens: int = 4096,
    read_as: ReadAs = read_text_as,
) -> Asker:
    """The way to ask this teacher; rows: all that it will be asked about.

    batch_tokens: tokens, those of answers included, that may be in memory at once. read_as: of
    the room of what the rows hold.
    """
    if structure.output is not None:
        return AnswerAsker(teacher, structure, description, metric, batch_tokens, read_as)
    return RepresentationAsker(teacher, structure, description, rows, read_as=read_as)


class AnswerAsker:
    """Asks for greedy answers in text; scored by the capability's metric."""

    unit = "nats per answer token"
    differentiable = True

    def __init__(
        self,
        teacher: Teacher,
        structure: Structure,
        description: Description,
        metric: Metric,
        batch_tokens: int,
        read_as: ReadAs,
    ) -> None:
        self.teacher = teacher
        self.read_as = read_as
        self.structure = structure
        self.description = description
        self.metric = metric.name
        self.higher_is_better = metric.higher_is_better
        self._scored_by = metric
        self.batch_tokens = batch_tokens
        if teacher.tokenizer is None:
            raise ValueError("the teacher answers in text, but its folder holds no tokenizer")
        self.tokenizer = teacher.tokenizer
        self.end = int(teacher.tokenizer.eos_token_id)
        self.finished = answer_end(structure.model, self.tokenizer, description.stop_strings)

    def encoded(self, rows: Sequence[Row]) -> list[Encoded]:
        """The rows with the data set's answers; the teacher's own in the very ids that it gave."""
        template, processor = self.description.template, self.teacher.processor
        read = self.read_as(self.structure.model, self.tokenizer, template, rows, processor)
        return [
            replace(encoded, answer_ids=list(row["answer_ids"])) if "answer_ids" in row else encoded
            for encoded, row in zip(read, rows, strict=True)
        ]

    def lacks_answer(self, row: Row) -> bool:
        return not row["answer"] and "answer_ids" not in row

    def batches(self, rows: Sequence[Row], max_tokens: int) -> list[Batch]:
        return list(batches(self.encoded(rows), max_tokens, self.structure))

    def own_batches(self, whole: Answers, max_tokens: int) -> list[Batch]:
        given = [
            replace(encoded, answer_ids=self._whole_answer(tokens))
            for encoded, tokens in zip(self.encoded(whole.rows), whole.tokens, strict=True)
        ]
        return list(batches(given, max_tokens, self.structure))

    def _whole_answer(self, tokens: Sequence[int]) -> list[int]:
        """An answer that the teacher gave, with its end if it gave that too."""
        stopped = len(tokens) >= self.description.max_new_tokens or (
            self.finished is not None and self.finished(list(tokens))
        )
        return list(tokens) if tokens and stopped else [*tokens, self.end]

    def _rows_at_once(self, encoded: Sequence[Encoded]) -> int:
        """As many rows as stay within `batch_tokens` when the longest of them is answered."""
        longest = max(row.tokens() or MEDIA_TOKENS for row in encoded)
        fit = self.batch_tokens // (longest + self.description.max_new_tokens)
        return max(1, min(MOST_ROWS, fit))

    def ask(self, rows: Sequence[Row]) -> Answers:
        """Greedy answers, cut at the data set's stop strings and scored."""
        tokens, texts = self._greedy(rows, self.description.max_new_tokens)
        held = [
            {**row, "answer": self._cut(text), "answer_ids": self._whole_answer(ids)}
            if self.lacks_answer(row)
            else dict(row)
            for row, ids, text in zip(rows, tokens, texts, strict=True)
        ]
        return Answers(
            tuple(held),
            tuple(tuple(row) for row in tokens),
            tuple(texts),
            tuple(self._score_texts(held, texts)),
        )

    def scores(self, whole: Answers) -> list[float]:
        if self._scored_by.by_likelihood:
            return self._score_texts(whole.rows, whole.texts)
        longest = min(self.description.max_new_tokens, whole.room())
        _, texts = self._greedy(whole.rows, longest)
        return self._score_texts(whole.rows, texts)

    def _greedy(self, rows: Sequence[Row], longest: int) -> tuple[list[list[int]], list[str]]:
        """Ids without the end, and the text that they spell."""
        encoded = self.encoded(rows)
        tokens = greedy_answers(
            self.structure.model,
            encoded,
            max_new_tokens=longest,
            eos_token_id=self.end,
            batch_size=self._rows_at_once(encoded),
            finished=self.finished,
        )
        return tokens, self.tokenizer.batch_decode(tokens, skip_special_tokens=True)

    def _cut(self, text: str) -> str:
        return cut(text, self.description.stop_strings)

    def _score_texts(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float]:
        answers = [
            {"id": row["id"], "answer": self._cut(text)}
            for row, text in zip(rows, texts, strict=True)
        ]
        if self._scored_by.by_likelihood:
            answers = self._with_likelihoods(rows, self.encoded(rows), answers)
        return [float(score) for score in self._scored_by.score_rows(rows, answers)]

    def _with_likelihoods(
        self,
        rows: Sequence[Row],
        encoded: Sequence[Encoded],
        answers: Sequence[Row],
    ) -> list[dict[str, Any]]:
        """The answers with how likely the references are: nats, tokens, bytes."""
        log_probs = answers_log_probs(self.structure.model, encoded, self._rows_at_once(encoded))
        return [
            {
                **answer,
                "log_prob": log_prob,
                "tokens": len(ids.answer_ids),
                "bytes": len(row["answer"].encode()),
            }
            for answer, log_prob, ids, row in zip(answers, log_probs, encoded, rows, strict=True)
        ]


class RepresentationAsker:
    """Asks for representations; scored by their cosine with the whole teacher's.

    Both are taken around the mean over all rows, see `losses.representation_drop`. Holds one
    vector a row, the teacher's output, in memory.
    """

    metric = "representation_cosine"
    higher_is_better = True
    unit = "1 - cosine of representations"
    # At the whole teacher the cosine is at its largest: its slope is 0 everywhere.
    differentiable = False

    def __init__(
        self,
        teacher: Teacher,
        structure: Structure,
        description: Description,
        rows: Sequence[Row],
        batch_tokens: int = 4096,
        *,
        read_as: ReadAs,
    ) -> None:
        self.teacher = teacher
        self.read_as = read_as
        self.structure = structure
        self.description = description
        self.batch_tokens = batch_tokens
        self.references = dict(
            zip([row["id"] for row in rows], self._representations(rows), strict=True)
        )
        self.centre = torch.stack(list(self.references.values())).mean(dim=0)

    def batches(self, rows: Sequence[Row], max_tokens: int) -> list[Batch]:
        template, processor = self.description.template, self.teacher.processor
        model, tokenizer = self.structure.model, self.teacher.tokenizer
        read = self.read_as(model, tokenizer, template, rows, processor)
        return list(batches(read, max_tokens, self.structure))

    def own_batches(self, whole: Answers, max_tokens: int) -> list[Batch]:
        return [
            replace(batch, references=self._of(whole.rows, batch.samples), centre=self.centre)
            for batch in self.batches(whole.rows, max_tokens)
        ]

    def lacks_answer(self, row: Row) -> bool:
        return False

    def ask(self, rows: Sequence[Row]) -> Answers:
        """No answers; how much of each representation is left."""
        return Answers(tuple(rows), (), (), tuple(self._cosines(rows)))

    def scores(self, whole: Answers) -> list[float]:
        return self._cosines(whole.rows)

    def _cosines(self, rows: Sequence[Row]) -> list[float]:
        found = torch.stack(self._representations(rows)) - self.centre
        whole = self._of(rows, range(len(rows))) - self.centre
        kept: list[float] = functional.cosine_similarity(found, whole, dim=1).tolist()
        return kept

    def _of(self, rows: Sequence[Row], places: Sequence[int]) -> Tensor:
        return torch.stack([self.references[rows[place]["id"]] for place in places])

    @torch.inference_mode()
    def _representations(self, rows: Sequence[Row]) -> list[Tensor]:
        """A float64 vector for each row, in the order given."""
        found: dict[int, Tensor] = {}
        for batch in self.batches(rows, self.batch_tokens):
            vectors = representations(run_model(self.structure, batch), batch)
            found |= dict(zip(batch.samples, vectors, strict=True))
        return [found[place] for place in range(len(rows))]
