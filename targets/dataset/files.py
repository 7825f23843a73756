"""A data set of the rows of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from modalities.parts import MediaParts
from modalities.text.fields import are_numbers
from targets.dataset.cleaning import usable_rows
from targets.dataset.dropped import Dropped
from targets.dataset.making import Made, Progress, make_dataset
from targets.dataset.reading import Record, data_files, has_header, records
from targets.dataset.settings import Settings
from targets.dataset.splitting import split, too_few


def made_of_files(
    target: str,
    settings: Settings,
    sources: Iterable[Path],
    seed: int,
    progress: Progress,
    media: MediaParts,
    *,
    most: int | None = None,
) -> Made:
    """Read, clean and split; where `most` is said, no more records than that are read.

    Raises ValueError where a file cannot be read, or there are too few rows.
    """
    files = [file for source in sources for file in data_files(source)]
    keys = [settings.prompt, settings.response, settings.tests]
    numbered = are_numbers(key for key in keys if key is not None)
    dropped = Dropped()
    origin: dict[str, Any] = {"files": []}

    def all_records() -> Iterator[Record]:
        for number, file in enumerate(files):
            count = 0
            for record in records(file, numbered=numbered):
                count += 1
                yield record
            origin["files"].append({"name": file.name, "rows": count})
            progress(number + 1, len(files))

    rows = list(usable_rows(islice(all_records(), most), settings, dropped, media))
    if not rows:
        names = ", ".join(file.name for file in files)
        bare = [file.name for file in files if not numbered and not has_header(file)]
        hint = f"; {bare[0]} has no names of columns: call them 0, 1, 2 …" if bare else ""
        raise ValueError(f"{target}: no usable row in {names}; dropped: {dropped}{hint}")
    total = len(rows) if settings.rows is None else min(len(rows), settings.rows)
    if total <= settings.eval + settings.validation + settings.pilot:
        raise ValueError(too_few(target, settings, total, "usable", str(dropped)))
    splits = split(
        rows,
        seed,
        held_out=settings.eval,
        validation=settings.validation,
        pilot=settings.pilot,
        total=total,
    )
    return make_dataset(splits, settings, dropped, origin)
