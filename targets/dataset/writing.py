"""A data set as files: rows of each split, what a model must know of them, and about them all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from modalities.json_files import write_json, write_rows
from modalities.text.row import Row, is_held_out
from targets.dataset.making import Made
from targets.dataset.settings import Settings
from targets.dataset.splitting import Splits

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

SPARE_TOKENS = 8


def write(job: Job, settings: Settings, made: Made) -> None:
    """Write a JSON Lines file for each split, and about them all `dataset.json`, `about.json`.

    What a model needs to know stands apart from where the rows are from and what they may be used
    for, so that another licence retrains nothing.
    """
    splits = made.splits
    for name, rows in splits.named().items():
        write_rows(job.out / f"{name}.jsonl", (row_json(row, name) for row in rows))
    limit = settings.max_new_tokens or _longest_answer(job.target, splits) + SPARE_TOKENS
    stop = {"strings": list(settings.stop), "max_new_tokens": limit}
    write_json(job.out / "dataset.json", {"template": settings.template, "stop": stop})
    about = {
        "name": job.target.partition(":")[2],
        "licence": settings.licence,
        "rows": {name: len(rows) for name, rows in splits.named().items()},
        "dropped": made.dropped.to_json(),
        "near_duplicates": made.near_json(settings),
        "origin": made.origin,
    }
    write_json(job.out / "about.json", about)


def _longest_answer(target: str, splits: Splits) -> int:
    """UTF-8 bytes of the longest answer that training may see: no tokenizer needs more tokens."""
    longest = max(len(row.answer.encode()) for row in [*splits.train, *splits.validation])
    if not longest:
        raise ValueError(
            f"{target}: the rows have no answers, so nothing says how long a teacher's may be; "
            "set `max_new_tokens`"
        )
    return longest


def row_json(row: Row, name: str) -> dict[str, Any]:
    """A row of the split `name`, as its file has it."""
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
