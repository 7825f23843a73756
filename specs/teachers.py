"""What `nexus.yaml` may say of a teacher, and of where it comes from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from specs.quantities import ALLOWED, Count
from specs.student import Tokenizer
from specs.values import Family, Modality, Name, Names, Positive, Precision, Rate, Section, Text


class TrainedSource(Section):
    """A small teacher that the build trains from scratch on its capability's data set."""

    family: Family
    """Architecture."""
    hidden: Positive
    """Width of the residual stream."""
    layers: Positive
    """Number of blocks."""
    heads: Positive | None = None
    """Attention heads. The width must be a multiple of them (default: one per 32 of the width)."""
    intermediate: Positive | None = None
    """Width of the MLP (default: three times the width)."""
    steps: Positive
    """Optimiser steps."""
    batch: Positive = 16
    """Rows in one step."""
    learning_rate: Rate = 0.02
    """Learning rate of Muon, for the matrices. The other rates follow from it."""
    tokenizer: Tokenizer = Tokenizer()
    """The teacher's own tokenizer."""


class TeacherSource(Section):
    """Where a teacher comes from: exactly one of `path`, `hub` and `train`."""

    path: Text | None = None
    """A model folder on this machine, relative to this file."""
    hub: (
        Annotated[
            str,
            Field(pattern=r"^[\w.-]+/[\w.-]+$", json_schema_extra={ALLOWED: "OWNER/MODEL"}),
        ]
        | None
    ) = None
    """A model of the hub; `revision` pins it."""
    revision: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9a-f]{7,40}$",
                json_schema_extra={ALLOWED: "a commit of 7 to 40 hex digits"},
            ),
        ]
        | None
    ) = None
    """The commit of the hub's model."""
    origin: Text | None = None
    """Where to get the folder of `path` (OWNER/MODEL of the hub, or an address), shown when it is
    missing. Nothing is fetched automatically."""
    train: TrainedSource | None = None
    """A teacher that the build trains itself."""


class Teacher(Section):
    """A model that some capabilities are learned from. It never ships."""

    id: Name
    """The name that targets and messages use."""
    source: TeacherSource
    """Where the model comes from."""
    licence: Text | None = None
    """SPDX name of the model's licence; NOASSERTION if it is not known."""
    load: Precision = "fp32"
    """Precision in which the teacher is opened."""
    capabilities: Annotated[Names, Field(min_length=1)]
    """What this teacher teaches."""
    parameters: Count | None = None
    """Number of parameters, if no file here says it yet. Used to estimate memory and time."""
    modality: Modality | None = None
    """What the model reads and writes (default: the same as its capabilities). `features` is a
    model that gives no text: an encoder, a codec, an autoencoder."""
    category: Text | None = None
    """What kind of model it is, for people. Nothing depends on it."""
    best_feature: Text | None = None
    """What it is best at, for people. Nothing depends on it."""
