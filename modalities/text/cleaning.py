"""Records as rows: what cannot be used is dropped, and it is told why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modalities.text.fields import MissingFieldError, answer_at, prompt_at, texts_at
from modalities.text.row import Row, normal_form
from targets.dataset.dropped import Dropped
from targets.dataset.reading import Record
from targets.dataset.settings import Settings

UNNAMED_RESPONSE = "response"


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
    assert settings.prompt is not None  # rows of files have keys
    tests = texts_at(record.fields, settings.tests) if settings.tests else ()
    return Row(
        prompt_at(record.fields, settings.prompt).strip(),
        _answer(record, settings),
        tuple(tests),
        "",
    )


def _answer(record: Record, settings: Settings) -> str:
    """Empty where none is required and none is there; a key that was named must be there."""
    key = settings.response or UNNAMED_RESPONSE
    if settings.response is None and not settings.answer_required and key not in record.fields:
        return ""
    return answer_at(record.fields, key)


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
