"""The student's tokenizer: trained on the rows of the data sets that the lock names.

Where the backbone starts from a model, its tokenizer is taken: its embedding knows no other. A
teacher's is taken where the spec says so: then no distribution needs to be carried across.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modalities.json_files import read_rows
from opened_models.tokenizers import open_tokenizer
from targets.tokenizer.settings import Settings
from targets.tokenizer.training import trained_tokenizer

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`."""
    if "init" in job.sources:
        open_tokenizer(job.sources["init"]).save_pretrained(job.out)
        return
    taken = next((role for role in job.inputs if role.startswith("tokenizer/")), None)
    if taken is not None:
        tokenizer = open_tokenizer(job.inputs[taken])
        # Batches need a filler; what is filled in is masked, so the end serves.
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        tokenizer.save_pretrained(job.out)
        return
    settings = Settings.from_json(job.settings)
    assert settings.vocab is not None
    texts = (
        text
        for role in sorted(job.inputs)
        for row in read_rows(job.inputs[role])
        for text in (row["prompt"], row["answer"])
    )
    tokenizer = trained_tokenizer(texts, settings.kind, settings.vocab)
    tokenizer.save_pretrained(job.out)
