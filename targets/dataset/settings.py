"""What a data set depends on besides its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Where rows come from, what they are made of, and how many go to which split.

    What a person decides has no default here: `nexus.yaml` and its schema say it.

    sample: a sampler's name; None where the rows are read from the job's sources.
    rows: rows of all splits together; None takes every row that the files have.
    eval, validation, pilot: rows of these splits; `train` gets the rest.
    prompt, response, tests: key of a record, dotted path into it (`instances.0.output`), or text
    with keys in braces (`{question} {context}`). tests may be None; response None is the key
    `response`, which may then be absent where no answer is required. Sampled rows have no keys.
    template: what a model sees, with `{prompt}` in it. stop: texts that end an answer.
    max_new_tokens: longest answer; None takes it from the rows.
    longest_row: characters of prompt and answer together above which a row is dropped.
    drop_similar: similarity to an `eval` prompt from which a training row is dropped, or None.
    answer_required: False where only the teachers' own answers are learned: a row may lack one.
    group: key of what rows of one source share, or None.
    """

    eval: int
    validation: int
    pilot: int
    template: str
    stop: tuple[str, ...]
    longest_row: int
    sample: str | None = None
    path: str | None = None
    rows: int | None = None
    prompt: str | None = None
    response: str | None = None
    tests: str | None = None
    licence: str | None = None
    max_new_tokens: int | None = None
    drop_similar: float | None = None
    answer_required: bool = True
    group: str | None = None

    @staticmethod
    def from_json(settings: Mapping[str, Any]) -> Settings:
        """The settings in a target's JSON; other keys are ignored."""
        names = {field.name for field in fields(Settings)}
        given = {key: value for key, value in settings.items() if key in names}
        return Settings(**{**given, "stop": tuple(settings["stop"])})
