"""Single values of a spec: what a name, a number, a metric may be; and what all sections share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import literal_schema

from specs.names import families, family_traits, harness_prefix, metrics, samplers
from specs.quantities import ALLOWED
from specs.rooms import readable, writable

ROUTER = "router"
# SPDX's own word for a licence that nobody has stated.
NO_ASSERTION = "NOASSERTION"
RESERVED_NAMES = ("backbone", "router", "encoder", "decoder")

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        json_schema_extra={ALLOWED: "a name of letters, digits, _, - and ."},
    ),
]
Names = Annotated[tuple[Name, ...], Strict(False)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Strict(False)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(gt=0, le=1.2)]
Level = Annotated[float, Field(gt=0)]

Precision = Literal["fp32", "bf16", "int8", "nf4"]
Modality = Literal[
    "text",
    "image-to-text",
    "video-to-text",
    "speech-to-text",
    "text-to-speech",
    "speech-to-speech",
    "text-to-image",
    "image-to-video",
    "any-to-any",
    "features",
]


@dataclass(frozen=True)
class OneOf:
    """A text that is one of these names."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return literal_schema(list(self.names))


Metric = Annotated[str, OneOf(tuple(metrics().modules))]
Sampler = Annotated[str, OneOf(tuple(samplers().modules))]
Family = Annotated[str, OneOf(tuple(families().modules))]
ShippedFamily = Annotated[
    str, OneOf(tuple(name for name in families().modules if family_traits(name).can_ship))
]

# Media that a capability may name; those without a room yet are declared only.
KNOWN_MEDIA = ("text", "image", "audio", "video")
WRITTEN_MEDIA = ("text", "speech", "image", "video")
Media = Annotated[
    tuple[Annotated[str, OneOf(tuple(dict.fromkeys((*KNOWN_MEDIA, *readable()))))], ...],
    Strict(False),
]
WrittenMedium = Annotated[str, OneOf(tuple(dict.fromkeys((*WRITTEN_MEDIA, *writable()))))]

HARNESS_METRIC = re.compile(rf"{harness_prefix()}(?P<task>[\w.-]+)(/[\w.,-]+)?")


def _contract_metric(value: Any) -> Any:
    named = isinstance(value, str) and HARNESS_METRIC.fullmatch(value)
    if named or (isinstance(value, str) and value in metrics().modules):
        return value
    raise PydanticCustomError("metric", "no metric")


ContractMetric = Annotated[
    str,
    BeforeValidator(_contract_metric),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(metrics().modules)},
                {
                    "type": "string",
                    "pattern": f"^{HARNESS_METRIC.pattern}$".replace("?P<task>", ""),
                },
            ],
            ALLOWED: f"{', '.join(metrics().modules)}, {harness_prefix()}TASK",
        }
    ),
]


def _auto_or_positive(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise PydanticCustomError("auto_or_positive", "neither auto nor a whole number")


Auto = Annotated[
    Literal["auto"] | int,
    BeforeValidator(_auto_or_positive),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
]


class Section(BaseModel):
    """A mapping in the spec: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
