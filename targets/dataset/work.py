"""Make a data set: rows from files, normalised, cleaned and split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from targets.dataset.files import made_of_files
from targets.dataset.settings import Settings
from targets.dataset.writing import write

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Make a data set of the rows of files."""
    settings = Settings.from_json(job.settings)
    sources = job.sources.values()
    write(job, settings, made_of_files(job.target, settings, sources, job.seed, job.progress))
