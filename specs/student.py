"""What `nexus.yaml` may say of the model that ships, and of how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from specs.quantities import ALLOWED
from specs.rooms import readable
from specs.values import (
    Auto,
    NotNegative,
    Positive,
    Rate,
    Section,
    Share,
    ShippedFamily,
    Text,
    Threshold,
)


class Tokenizer(Section):
    """How text is cut into tokens."""

    kind: Literal["bpe", "bytes", "teacher"] = "bpe"
    """`bpe` is learned from the data sets (digits stay single), `bytes` needs no learning,
    `teacher` takes the tokenizer of the teacher named."""
    teacher: Text | None = None
    """Whose tokenizer the student takes, with `kind: teacher`."""
    vocab: Annotated[int, Field(ge=258, le=1_000_000)] = 512
    """Number of entries, with bytes and special tokens; `bytes` always has 258."""


class Training(Section):
    """How adapters are trained."""

    rank: Positive = 64
    """Largest rank of an adapter."""
    steps: Positive = 700
    """Optimiser steps."""
    batch: Positive = 16
    """Rows in one step."""
    learning_rate: Rate = 0.01
    """Learning rate of Muon, for all LoRA matrices."""
    warmup_steps: NotNegative = 20
    """Steps over which the learning rate rises."""
    kl_weight: Share = 0.2
    """Share of the divergence from the teacher in the loss; the rest is cross-entropy.

    If the teachers draw the answers themselves (`trace.answers: teacher`), 0.8 was better.
    """
    activation_anchor: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the activation anchor; 0 turns it off."""
    attention_anchor: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the attention anchor; 0 turns it off."""
    validate_every: Positive = 200
    """Steps between two looks at the validation rows."""
    recovery_steps: NotNegative = 30
    """Steps on the worst rows after a look finds that an adapter got worse. 0 turns off recovery,
    and the roll-back after a spike as well."""
    retries: NotNegative = 1
    """How often an adapter below its aim is trained further."""
    aim_fraction: Threshold = 1.0
    """An adapter is trained further if it retains less than this on the validation rows. This is
    not the contract."""


class InitPath(Section):
    """A small open model to start from, instead of from scratch."""

    path: Text
    """A model folder, relative to this file. It must not be a teacher."""


def _init(value: Any) -> Any:
    if value == "scratch":
        return None
    if isinstance(value, Mapping | InitPath):
        return value
    raise PydanticCustomError("init", "neither scratch nor a path")


Init = Annotated[
    InitPath | None,
    BeforeValidator(_init),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "scratch"},
                {
                    "type": "object",
                    "properties": {
                        "path": {
                            "type": "string",
                            "minLength": 1,
                            "description": "A model folder, relative to this file; not a teacher.",
                        }
                    },
                    "required": ["path"],
                    "additionalProperties": False,
                },
            ],
            ALLOWED: "scratch, or {path: FOLDER}",
        }
    ),
]


class Backbone(Section):
    """The student's frozen base, which all adapters share."""

    init: Annotated[Init, Field(json_schema_extra={"default": "scratch"})] = None
    """`scratch`, or `{path: FOLDER}` of a small open model to start from."""
    family: ShippedFamily = "llama"
    """Architecture, if it starts from scratch."""
    hidden: Auto = "auto"
    """Width of the residual stream; `auto` computes it from the teachers' profiles."""
    layers: Auto = "auto"
    """Number of blocks."""
    heads: Auto = "auto"
    """Attention heads."""
    intermediate: Auto = "auto"
    """Width of the MLP."""
    steps: Positive = 600
    """Optimiser steps of its distillation."""
    batch: Positive = 32
    """Rows in one step."""
    learning_rate: Rate = 0.02
    """Learning rate of Muon, for the matrices."""
    kl_weight: Share = 0.2
    """The same as `training.kl_weight`, with the teachers of all capabilities."""


class _Encoders(Section):
    """Shapes of the encoders, by medium."""

    def of(self, medium: str) -> dict[str, Any]:
        """The fields of one medium's encoder, as JSON values."""
        section: BaseModel = getattr(self, medium)
        return section.model_dump(mode="json")


if TYPE_CHECKING:
    Encoders = _Encoders
else:
    Encoders = create_model(
        "Encoders",
        __base__=_Encoders,
        __module__=__name__,
        **{
            medium: (
                create_model(medium, __base__=(room.encoder_fields, Section)),
                Field({}, validate_default=True),
            )
            for medium, room in readable().items()
            if room.encoder_fields is not None
        },
    )
    Encoders.__doc__ = _Encoders.__doc__


class Student(Section):
    """The model that ships."""

    tokenizer: Tokenizer = Tokenizer()
    """How the student cuts text into tokens."""
    backbone: Backbone = Backbone()
    """The frozen base that all adapters share."""
    encoders: Encoders = Encoders()
    """Encoders that turn a medium into states: one for each medium that is read as well as text."""
    training: Training = Training()
    """How adapters are trained. A capability's own `training` overrides single fields."""
