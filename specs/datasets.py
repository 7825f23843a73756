"""What `nexus.yaml` may say of a data set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from specs.quantities import ALLOWED
from specs.values import Positive, Sampler, Section, Text, Texts


class Dataset(Section):
    """Prompts and answers: made by a sampler of the project, or read from files."""

    sample: Sampler | None = None
    """The sampler that makes the rows."""
    path: Text | None = None
    """A file, a folder or a glob, relative to this file."""
    rows: Positive | None = None
    """Rows of all splits together; all that the files have, unless said."""
    eval: Positive = 1000
    """Rows held out for the contract; no training sees them."""
    validation: Positive = 200
    """Rows held out for decisions during training."""
    pilot: Positive = 240
    """Rows for profiling teachers."""
    prompt: Text | None = None
    """Key of the prompt in the files' rows, or text with keys in braces (`prompt`, unless said).
    Keys go deeper with dots (`chat.0.text`); columns without names are called 0, 1, 2 …"""
    response: Text | None = None
    """Key of the answer in the files' rows (`response`, unless said). Rows need none where every
    capability that uses them has `trace: {answers: teacher}` and no teacher is trained on them."""
    tests: Text | None = None
    """Key of the unit tests in the files' rows, where answers are code."""
    origin: Text | None = None
    """Where the data can be had, said when it is missing; nothing is fetched by itself."""
    longest_row: Positive = 8000
    """Characters of prompt and answer together above which a row is dropped."""
    drop_similar: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Training rows whose prompt is at least so similar to one of `eval` are dropped; none is,
    unless said. 1 is the same words in the same order; from 0.8 on, pairs are reported."""
    licence: Text | None = None
    """SPDX name of the data's licence; NOASSERTION where it is not known."""
    template: Annotated[
        str,
        Field(pattern=r"\{prompt\}", json_schema_extra={ALLOWED: "text with {prompt} in it"}),
    ] = "{prompt}\n"
    """What the model sees: text with {prompt} in it; the answer follows directly."""
    stop: Texts = ()
    """Texts that end an answer, besides the end of the sequence."""
    max_new_tokens: Positive | None = None
    """Longest answer; taken from the data, unless said."""
