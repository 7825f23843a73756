"""The student's tokenizer: trained on the rows of the data sets that the lock names.

Where the backbone starts from a model, its tokenizer is taken: its embedding knows no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from targets.rows import read_rows
from targets.teachers.tokenizers import open_tokenizer
from targets.tokenizer.settings import Settings
from targets.tokenizer.training import trained_tokenizer

if TYPE_CHECKING:
    from nexusbuild.graph import Job


def build(job: Job) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`."""
    if "init" in job.sources:
        open_tokenizer(job.sources["init"]).save_pretrained(job.out)
        return
    settings = Settings.from_json(job.settings)
    texts = (
        text
        for role in sorted(job.inputs)
        for row in read_rows(job.inputs[role])
        for text in (row["prompt"], row["answer"])
    )
    tokenizer = trained_tokenizer(texts, settings.kind, settings.vocab)
    tokenizer.save_pretrained(job.out)
