"""Make a data set: rows from a sampler or from files, normalised, cleaned and split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from targets.dataset.cleaning import Dropped, usable_rows
from targets.dataset.reading import Record, data_files, records
from targets.dataset.settings import Settings
from targets.dataset.splitting import Splits, split
from targets.rows import write_json, write_rows
from targets.samplers.row import Row, is_held_out
from targets.samplers.sampling import Draw, sample

if TYPE_CHECKING:
    from nexusbuild.graph import Job

SPARE_TOKENS = 8


def build(job: Job) -> None:
    """Make a data set of the rows of files."""
    settings = Settings.from_json(job.settings)
    dropped = Dropped()
    splits, origin = _read(job, settings, dropped)
    _write(job, settings, splits, origin, dropped)


def build_sampled(job: Job, draw: Draw) -> None:
    """Make a data set of the rows of a sampler: the work of each sampler's own module."""
    settings = Settings.from_json(job.settings)
    assert settings.sample is not None
    splits = _sampled(job, settings, settings.sample, draw)
    _write(job, settings, splits, {"sample": settings.sample}, Dropped())


def _write(
    job: Job, settings: Settings, splits: Splits, origin: dict[str, Any], dropped: Dropped
) -> None:
    """Write a JSON Lines file for each split, and about them all `dataset.json`, `about.json`.

    What a model needs to know stands apart from where the rows are from and what they may be used
    for, so that another licence retrains nothing.
    """
    for name, rows in splits.named().items():
        write_rows(job.out / f"{name}.jsonl", (_as_json(row, name) for row in rows))
    limit = settings.max_new_tokens or _longest_answer(job.target, splits) + SPARE_TOKENS
    stop = {"strings": list(settings.stop), "max_new_tokens": limit}
    write_json(job.out / "dataset.json", {"template": settings.template, "stop": stop})
    about = {
        "name": job.target.partition(":")[2],
        "licence": settings.licence,
        "rows": {name: len(rows) for name, rows in splits.named().items()},
        "dropped": dropped.to_json(),
        "origin": origin,
    }
    write_json(job.out / "about.json", about)


def _sampled(job: Job, settings: Settings, name: str, draw: Draw) -> Splits:
    """`eval` from the sampler's own `eval`, every other split from its `train`."""
    if settings.rows is None:
        raise ValueError(f"{job.target}: say how many rows to sample: set `rows`")
    others = settings.rows - settings.eval
    if others <= settings.validation + settings.pilot:
        raise ValueError(_too_few(job.target, settings, settings.rows, "asked for", "none"))
    rows: list[Row] = []
    for row in sample(name, draw, job.seed, others, "train"):
        rows.append(row)
        if len(rows) % 1000 == 0:
            job.progress(len(rows), settings.rows)
    kept = split(
        rows,
        job.seed,
        held_out=0,
        validation=settings.validation,
        pilot=settings.pilot,
        total=others,
    )
    held_out = list(sample(name, draw, job.seed, settings.eval, "eval"))
    job.progress(settings.rows, settings.rows)
    return Splits(kept.train, kept.pilot, kept.validation, held_out)


def _read(job: Job, settings: Settings, dropped: Dropped) -> tuple[Splits, dict[str, Any]]:
    files = [file for source in job.sources.values() for file in data_files(source)]
    origin: dict[str, Any] = {"files": []}

    def all_records() -> Iterator[Record]:
        for number, file in enumerate(files):
            count = 0
            for record in records(file):
                count += 1
                yield record
            origin["files"].append({"name": file.name, "rows": count})
            job.progress(number + 1, len(files))

    rows = list(usable_rows(all_records(), settings, dropped))
    if not rows:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{job.target}: no usable row in {names}; dropped: {dropped}")
    total = len(rows) if settings.rows is None else min(len(rows), settings.rows)
    if total <= settings.eval + settings.validation + settings.pilot:
        raise ValueError(_too_few(job.target, settings, total, "usable", str(dropped)))
    splits = split(
        rows,
        job.seed,
        held_out=settings.eval,
        validation=settings.validation,
        pilot=settings.pilot,
        total=total,
    )
    return splits, origin


def _too_few(target: str, settings: Settings, rows: int, which: str, dropped: str) -> str:
    return (
        f"{target}: {rows} rows {which}, but eval {settings.eval} + validation "
        f"{settings.validation} + pilot {settings.pilot} leave none to train on (dropped: "
        f"{dropped}); give more rows, or ask for smaller splits"
    )


def _longest_answer(target: str, splits: Splits) -> int:
    """UTF-8 bytes of the longest answer that training may see: no tokenizer needs more tokens."""
    longest = max(len(row.answer.encode()) for row in [*splits.train, *splits.validation])
    if not longest:
        raise ValueError(
            f"{target}: the rows have no answers, so nothing says how long a teacher's may be; "
            "set `max_new_tokens`"
        )
    return longest


def _as_json(row: Row, name: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": hashlib.sha256(row.prompt.encode()).hexdigest()[:16],
        "prompt": row.prompt,
        "answer": row.answer,
    }
    if row.tests:
        value["tests"] = list(row.tests)
    if row.structure:
        value["structure"] = row.structure
        if name == "eval":
            value["held_out"] = is_held_out(row.structure)
    return value
