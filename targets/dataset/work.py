"""Make a data set: rows from files, normalised, cleaned and split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modalities.parts import MediaParts
from modalities.payloads import FOLDER
from targets.dataset.files import made_of_files
from targets.dataset.settings import Settings
from targets.dataset.writing import write

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Make a data set of the rows of files."""
    settings = Settings.from_json(job.settings)
    sources = job.sources.values()
    modules = {
        role.partition("/")[2]: job.load(role) for role in job.code if role.startswith("rows/")
    }
    media = MediaParts(modules, job.settings, job.out / FOLDER)
    made = made_of_files(job.target, settings, sources, job.seed, job.progress, media)
    write(job, settings, made)
