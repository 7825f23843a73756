"""Records as examples: what cannot be used is dropped, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modalities.example import Example
from modalities.missing_field import MissingFieldError
from modalities.parts import MediaParts, UnreadablePartError
from modalities.text.fields import answer_at, prompt_at, text_at, texts_at
from modalities.text.row import normal_form
from targets.dataset.dropped import Dropped
from targets.dataset.reading import Record
from targets.dataset.settings import Settings

UNNAMED_RESPONSE = "response"


def usable_rows(
    records: Iterable[Record], settings: Settings, dropped: Dropped, media: MediaParts
) -> Iterator[Example]:
    """The records as distinct examples; what cannot be used is added to `dropped`.

    Of examples that read the same (but for case and white space of the prompt) the first stays.
    """
    answers: dict[str, str] = {}
    for record in records:
        try:
            row = _row(record, settings, media)
        except MissingFieldError as missing:
            dropped.add(str(missing), f"{record.place}: {missing.detail}")
            continue
        except UnreadablePartError as unreadable:
            dropped.add(str(unreadable), f"{record.place}: {unreadable.detail}")
            continue
        form = normal_form(row.prompt) + row.content
        why = _objection(row, form, answers, settings)
        if why:
            dropped.add(why, record.place)
            continue
        answers[form] = row.answer
        yield row


def _row(record: Record, settings: Settings, media: MediaParts) -> Example:
    assert settings.prompt is not None  # rows of files have keys
    tests = texts_at(record.fields, settings.tests) if settings.tests else ()
    return Example(
        prompt_at(record.fields, settings.prompt).strip(),
        _answer(record, settings),
        tuple(tests),
        "",
        media.parts(record.fields),
        text_at(record.fields, settings.group) if settings.group else "",
    )


def _answer(record: Record, settings: Settings) -> str:
    """Empty where none is required and none is there; a key that was named must be there."""
    key = settings.response or UNNAMED_RESPONSE
    if settings.response is None and not settings.answer_required and key not in record.fields:
        return ""
    return answer_at(record.fields, key)


def _objection(row: Example, form: str, answers: dict[str, str], settings: Settings) -> str | None:
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
