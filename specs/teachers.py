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
    """Attention heads; they divide the width. One for each 32 of it, unless said."""
    intermediate: Positive | None = None
    """Width of the MLP; three times the width, unless said."""
    steps: Positive
    """Optimiser steps."""
    batch: Positive = 16
    """Rows in one step."""
    learning_rate: Rate = 0.02
    """Of Muon, for the matrices; the rest follows from it."""
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
    """Where the folder of `path` can be had (OWNER/MODEL of the hub, or an address), said when it
    is missing; nothing is fetched by itself."""
    train: TrainedSource | None = None
    """Made by the build itself."""


class Teacher(Section):
    """A model that some capabilities are learned from. It never ships."""

    id: Name
    """The name that targets and messages use."""
    source: TeacherSource
    """Where the model comes from."""
    licence: Text | None = None
    """SPDX name of the model's licence; NOASSERTION where it is not known."""
    load: Precision = "fp32"
    """Precision in which the teacher is opened."""
    capabilities: Annotated[Names, Field(min_length=1)]
    """What this teacher teaches."""
    parameters: Count | None = None
    """Size, where it cannot be read from the files yet; used to estimate memory and time."""
    modality: Modality | None = None
    """What the model reads and writes; as its capabilities, unless said. `features` is a model
    from which no text comes: an encoder, a codec, autoencoders."""
    category: Text | None = None
    """What kind of model it is, for people; nothing depends on it."""
    best_feature: Text | None = None
    """What it is best at, for people; nothing depends on it."""
