"""What `nexus.yaml` may say of text."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

READS = "text"
WRITES = "text"

Positive = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Strict(False)]


class DatasetFields(BaseModel):
    """Fields of a data set: every one has a prompt and an answer in text."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    prompt: Text | None = None
    """Key of the prompt in the files' rows, or text with keys in braces (default: `prompt`). Dots
    lead to inner values (`chat.0.text`). Columns without names are called 0, 1, 2 …"""
    response: Text | None = None
    """Key of the answer in the files' rows (default: `response`). Rows need no answer if every
    capability that uses them has `trace: {answers: teacher}` and no teacher is trained on them."""
    tests: Text | None = None
    """Key of the unit tests in the files' rows, if answers are code."""
    longest_row: Positive = 8000
    """A row is dropped if prompt and answer together have more characters than this."""
    drop_similar: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Drop training rows whose prompt is at least this similar to one of `eval` (default: drop
    none). 1 means the same words in the same order. Pairs from 0.8 on are reported."""
    template: Annotated[
        str,
        Field(pattern=r"\{prompt\}", json_schema_extra={"x-allowed": "text with {prompt} in it"}),
    ] = "{prompt}\n"
    """What the model sees: text with {prompt} in it. The answer follows directly."""
    stop: Texts = ()
    """Texts that end an answer, as well as the end of the sequence."""
    max_new_tokens: Positive | None = None
    """Longest answer, in tokens (default: taken from the data)."""
