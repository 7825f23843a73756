"""What is dropped before rows are split, and a record of it: why, how many, examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from targets.dataset.fields import MissingFieldError, text_at, texts_at
from targets.dataset.reading import Record
from targets.dataset.settings import Settings
from targets.samplers.row import Row, normal_form

EXAMPLES = 3
UNNAMED_RESPONSE = "response"


@dataclass
class Dropped:
    """Reasons for which rows were dropped, with a count and the first few places of each."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, why: str, place: str) -> None:
        self.counts[why] = self.counts.get(why, 0) + 1
        shown = self.examples.setdefault(why, [])
        if len(shown) < EXAMPLES:
            shown.append(place)

    def to_json(self) -> list[dict[str, Any]]:
        """One object a reason, the commonest first."""
        reasons = sorted(self.counts, key=lambda why: (-self.counts[why], why))
        return [
            {"why": why, "count": self.counts[why], "examples": self.examples[why]}
            for why in reasons
        ]

    def __str__(self) -> str:
        parts = [f"{row['count']} {row['why']} ({row['examples'][0]})" for row in self.to_json()]
        return "; ".join(parts) or "none"


def usable_rows(records: Iterable[Record], settings: Settings, dropped: Dropped) -> Iterator[Row]:
    """The records as rows of distinct prompts; what cannot be used is added to `dropped`.

    Of rows with one prompt (but for case and white space) the first stays.
    """
    answers: dict[str, str] = {}
    for record in records:
        try:
            row = _row(record, settings)
        except MissingFieldError as missing:
            dropped.add(str(missing), f"{record.place}: {missing.detail}")
            continue
        form = normal_form(row.prompt)
        why = _objection(row, form, answers, settings)
        if why:
            dropped.add(why, record.place)
            continue
        answers[form] = row.answer
        yield row


def _row(record: Record, settings: Settings) -> Row:
    tests = texts_at(record.fields, settings.tests) if settings.tests else ()
    return Row(
        text_at(record.fields, settings.prompt).strip(),
        _answer(record, settings),
        tuple(tests),
        "",
    )


def _answer(record: Record, settings: Settings) -> str:
    """Empty where none is required and none is there; a key that was named must be there."""
    key = settings.response or UNNAMED_RESPONSE
    if settings.response is None and not settings.answer_required and key not in record.fields:
        return ""
    return text_at(record.fields, key)


def _objection(row: Row, form: str, answers: dict[str, str], settings: Settings) -> str | None:
    if not form:
        return "empty prompt"
    if settings.answer_required and not row.answer.strip():
        return "empty answer"
    if len(row.prompt) + len(row.answer) > settings.longest_row:
        return f"longer than {settings.longest_row} characters"
    stops = [stop for stop in settings.stop if stop and stop in row.answer]
    if stops:
        return f"the answer holds the stop text {stops[0]!r}"
    if form in answers:
        same = answers[form] == row.answer
        return "duplicate prompt" if same else "duplicate prompt with another answer"
    return None
