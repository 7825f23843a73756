"""Rows as the teacher of a job reads them, by the room of what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modalities.payloads import rows_with_paths

if TYPE_CHECKING:
    from modalities.contract import ReadingModule
    from modalities.text.answers import ReadRows
    from modalities.text.encoding import Encoded
    from nexusbuild.plugins import Job
    from opened_models.loading import Teacher


def teacher_reader(job: Job, teacher: Teacher, template: str) -> ReadRows:
    """A function: rows to what the teacher reads of each."""
    reading: ReadingModule = job.load("reading")
    payloads = job.inputs.get("media")

    def read(rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
        return reading.read_as(
            teacher.model,
            teacher.tokenizer,
            template,
            rows_with_paths(rows, payloads),
            processor=teacher.processor,
        )

    return read
