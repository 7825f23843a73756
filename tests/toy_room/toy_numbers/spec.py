"""What `nexus.yaml` may say of lists of digits."""

from typing import Annotated

from pydantic import BaseModel, Field

READS = "numbers"


class DatasetFields(BaseModel):
    """Fields of a data set."""

    numbers: str | None = None
    """Key of the list of digits in the files' rows."""


class EncoderFields(BaseModel):
    """Fields of `student.encoders.numbers`."""

    hidden: Annotated[int, Field(ge=1, le=1024)] = 16
    """Width of the encoder's states."""
