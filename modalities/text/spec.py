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
    """Key of the prompt in the files' rows, or text with keys in braces (default: `prompt`). Keys
    go deeper with dots (`chat.0.text`); columns without names are called 0, 1, 2 …"""
    response: Text | None = None
    """Key of the answer in the files' rows (default: `response`). Rows need none where every
    capability that uses them has `trace: {answers: teacher}` and no teacher is trained on them."""
    tests: Text | None = None
    """Key of the unit tests in the files' rows, where answers are code."""
    longest_row: Positive = 8000
    """Characters of prompt and answer together above which a row is dropped."""
    drop_similar: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Training rows whose prompt is at least so similar to one of `eval` are dropped; by default
    none is. 1 is the same words in the same order; from 0.8 on, pairs are reported."""
    template: Annotated[
        str,
        Field(pattern=r"\{prompt\}", json_schema_extra={"x-allowed": "text with {prompt} in it"}),
    ] = "{prompt}\n"
    """What the model sees: text with {prompt} in it; the answer follows directly."""
    stop: Texts = ()
    """Texts that end an answer, besides the end of the sequence."""
    max_new_tokens: Positive | None = None
    """Longest answer; by default taken from the data."""
