"""What a room of a medium offers, and what the kinds of target ask of it.

A room is a package: a folder of this package, or one that another distribution names as an entry
point of the group `nexus.modalities`. A kind loads the modules of a room one by one, by role, so
that a change in one of them touches only what uses it. `spec.py` says what the room can do.

| module | role in a target's `code` | says |
|---|---|---|
| `spec.py` | | which medium it reads and writes, its fields in `nexus.yaml` (pydantic alone) |
| `rows.py` | `rows/<medium>` | a record's part of this medium: see `RowsModule` |
| `reading.py` | `reading` | rows as a given model reads them: see `ReadingModule` |
| `student.py` | `encoder` | how the packed encoder is made: see `EncoderModule` |
| `answers.py`, `own_answers.py` | `answers`, `own_answers` | what a model answers in this medium |
| `asking.py` | `asking` | what a profile asks of a teacher |
| `signal.py`, `student_rows.py` | | what a trace keeps, and what a student learns of it |
| `metrics/<name>.py` | `metric` | one metric each: see `modalities.metric` |
| `families/<name>.py` | `family` | one architecture of a fresh decoder each |

A room that only reads has the first four. The half of a medium that ships is in `nexus.media`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

    from modalities.text.encoding import Encoded
    from nexusbuild.plugins import Job

TEXT = "text"
Row = Mapping[str, Any]
"""A row as its file has it: `id`, `prompt`, `answer`, perhaps `parts`, `tests`, `group`."""


class RowsModule(Protocol):
    """`rows.py` of a room: the part of its medium in a record of a file."""

    def part(self, fields: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> Any:
        """The part as a JSON value: itself where it is small, else the name of a file that was
        written to `folder` and is named by its digest.

        settings: the data set's, with the room's own fields. Raises MissingFieldError where the
        record lacks the field, ValueError where it holds nothing that can be read.
        """
        ...


class ReadingModule(Protocol):
    """`reading.py` of a room: rows as a given model reads them."""

    def as_text(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The rows as a model that reads text alone is given them. Raises ValueError where the
        medium cannot be written down.
        """
        ...

    def read_as(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        template: str,
        rows: Sequence[Row],
        processor: Any = None,
    ) -> list[Encoded]:
        """The rows as this model reads them, in the order given."""
        ...


class EncoderModule(Protocol):
    """`student.py` of a room that reads: the part of the student that is its own."""

    def build_encoder(self, job: Job) -> None:
        """Write `<medium>_encoder.safetensors` and `<medium>_encoder.json`, as `nexus.media` opens
        them.

        Settings: the fields of `student.encoders.<medium>`. Inputs: `train/<data set>`,
        `media/<data set>`, and `profile/...`, `trace/...` of every teacher that reads the medium.
        """
        ...
