"""Make a data set of the rows of a sampler. It reads no file, and imports nothing that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modalities.example import Example
from samplers.parts.sampling import Draw, sample
from targets.dataset.dropped import Dropped
from targets.dataset.making import Made, Progress, make_dataset
from targets.dataset.settings import Settings
from targets.dataset.splitting import Splits, split, too_few
from targets.dataset.writing import write

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Make a data set of the rows of the sampler that the settings name."""
    settings = Settings.from_json(job.settings)
    assert settings.sample is not None
    draw: Draw = job.load("sampler").draw
    write(job, settings, made_of_samples(job.target, settings, draw, job.seed, job.progress))


def made_of_samples(
    target: str, settings: Settings, draw: Draw, seed: int, progress: Progress
) -> Made:
    """`eval` from the sampler's own `eval`, every other split from its `train`."""
    name = settings.sample
    assert name is not None
    if settings.rows is None:
        raise ValueError(f"{target}: say how many rows to sample: set `rows`")
    others = settings.rows - settings.eval
    if others <= settings.validation + settings.pilot:
        raise ValueError(too_few(target, settings, settings.rows, "asked for", "none"))
    rows: list[Example] = []
    for row in sample(name, draw, seed, others, "train"):
        rows.append(row)
        if len(rows) % 1000 == 0:
            progress(len(rows), settings.rows)
    kept = split(
        rows,
        seed,
        held_out=0,
        validation=settings.validation,
        pilot=settings.pilot,
        total=others,
    )
    held_out = list(sample(name, draw, seed, settings.eval, "eval"))
    progress(settings.rows, settings.rows)
    splits = Splits(kept.train, kept.pilot, kept.validation, held_out)
    return make_dataset(splits, settings, Dropped(), {"sample": name})
