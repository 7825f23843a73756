"""What a person has: models and data below a folder, and the machine they lie on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opened_models.model_folder import ModelFolder, model_folders, stated_licence
from raw_data.findings import findings
from raw_data.formats import head_of
from specs.datasets import Dataset
from targets.budget.devices import GIGABYTE
from targets.commands.known_capabilities import BY_NAME, told_capabilities
from targets.dataset.reading import records

# Keys by which rows call what is asked and what is wanted; the first that a row has is taken.
PROMPTS = (
    "prompt", "question", "instruction", "query", "problem", "task", "request", "utterance",
    "input", "text", "source", "sourceString", "article", "document",
)  # fmt: skip
RESPONSES = (
    "response", "answer", "output", "completion", "target", "solution", "canonical_solution",
    "code", "best_answer", "targetString", "summary", "highlights", "label", "correct",
    "tool_calls", "function_calls", "answers",
)  # fmt: skip
TESTS = ("tests", "test_list", "test", "unit_tests", "test_cases")
DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz")
LEAST_CONFIDENCE = 0.5
LEAST_ROWS = 10
UNKNOWN_FIELDS = "say which fields are `prompt` and `response`"
# Lines of a file are counted up to this size; the rows of every other format have to be read.
LARGEST_COUNTED = 1 << 30
LARGEST_READ = 1 << 25


@dataclass(frozen=True)
class FoundModel:
    """A model and the capabilities that its name speaks of. no_text: none comes from it."""

    folder: ModelFolder
    capabilities: tuple[str, ...]
    no_text: bool


@dataclass(frozen=True)
class FoundData:
    """A file of rows. rows None: not counted, for it is too large, or cannot be read here.

    why_not: why a spec cannot take it as it is; "" where it can.
    """

    path: Path
    capability: str
    reason: str
    rows: int | None
    fields: Mapping[str, str]
    licence: str | None
    why_not: str = ""


@dataclass(frozen=True)
class Machine:
    """In bytes. vram None: no GPU is seen."""

    ram: int
    disk: int
    vram: int | None


def found_models(root: Path) -> list[FoundModel]:
    """Every model below a folder."""
    return [
        FoundModel(
            folder,
            tuple(told_capabilities(folder.path.name)),
            not _writes_text(folder.architecture),
        )
        for folder in model_folders(root)
    ]


def _writes_text(architecture: str) -> bool:
    """Whether text comes from a model of this architecture, as far as its name says."""
    return any(sign in architecture for sign in ("CausalLM", "LMHead", "ConditionalGeneration"))


def found_data(root: Path, without: Iterable[Path] = ()) -> list[FoundData]:
    """The largest file of each capability in each folder, with what its rows call their fields.

    Of one in which no prompt and no answer is recognised, or with too few rows, `why_not` says so.
    """
    kept_out = [folder.resolve() for folder in without]
    largest: dict[tuple[Path, str], FoundData] = {}
    for finding in findings(root):
        path = root / finding.path
        known = BY_NAME.get(finding.capability or "")
        if known is None or known.modality != "text" or finding.confidence < LEAST_CONFIDENCE:
            continue
        if path.suffix.lower() not in DATA_SUFFIXES:
            continue
        if any(folder in path.resolve().parents for folder in kept_out):
            continue
        fields = _fields_of(path)
        why_not = UNKNOWN_FIELDS if fields is None else ""
        candidate = FoundData(path, known.name, finding.reason, None, fields or {}, None, why_not)
        place = (path.parent, known.name)
        if place not in largest or _is_preferred(candidate, largest[place]):
            largest[place] = candidate
    return [_count_rows(each) for each in largest.values()]


def _is_preferred(one: FoundData, other: FoundData) -> bool:
    """What can be taken before what cannot, the larger before the smaller."""
    return (not one.why_not, one.path.stat().st_size) > (
        not other.why_not,
        other.path.stat().st_size,
    )


def _count_rows(data: FoundData) -> FoundData:
    rows = _count(data.path)
    why_not = data.why_not
    if not why_not and rows is not None and rows < LEAST_ROWS:
        why_not = f"{rows} rows are too few to learn from and to measure on"
    return replace(data, rows=rows, licence=stated_licence(data.path.parent), why_not=why_not)


def machine(folder: Path) -> Machine:
    """The machine's memory, its GPU's, and the room on the disk that a folder lies on."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return Machine(
        ram=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=shutil.disk_usage(there).free,
        vram=_gpu_memory(),
    )


def splits(rows: int | None) -> dict[str, int]:
    """Sizes of the held-out splits where the usual ones would leave too little to train on."""
    usual = {name: Dataset.model_fields[name].default for name in ("eval", "validation", "pilot")}
    if rows is None or rows >= 2 * sum(usual.values()):
        return {}
    return {
        "eval": max(1, rows // 5),
        "validation": max(1, rows // 20),
        "pilot": max(1, rows // 10),
    }


def _gpu_memory() -> int | None:
    """Of the largest GPU that the driver's tool knows; no library of models is asked."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return max(int(line) for line in done.stdout.split()) * 2**20 // GIGABYTE * GIGABYTE
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _fields_of(path: Path) -> dict[str, str] | None:
    """`prompt`, `response`, `tests` -> the rows' keys, where they have other names; None where no
    row has both."""
    try:
        rows = head_of(path).rows
    except OSError:
        return None
    row = next((row for row in rows if isinstance(row, dict)), None)
    if row is None:
        return None
    if any(isinstance(row.get(key), list) for key in ("messages", "conversations")):
        return {}  # the reader takes conversations apart by itself
    prompt, response = _first(PROMPTS, row), _first(RESPONSES, row)
    if prompt is None or response is None or prompt == response:
        return None
    tests = _first(TESTS, row)
    found = {"prompt": prompt, "response": response}
    found = {name: key for name, key in found.items() if name != key}
    return found | ({"tests": tests} if tests is not None else {})


def _first(names: Iterable[str], row: Mapping[str, Any]) -> str | None:
    """The row's own key for the first of these names that has a value, however it is written."""
    keys = {
        str(key).lower().replace(" ", "_"): str(key)
        for key, value in row.items()
        if value not in (None, "", [], {})
    }
    return next((keys[name.lower()] for name in names if name.lower() in keys), None)


def _count(path: Path) -> int | None:
    """Rows of a file; None where it is too large, or cannot be read here."""
    by_lines = path.suffix in (".jsonl", ".ndjson")
    if path.stat().st_size > (LARGEST_COUNTED if by_lines else LARGEST_READ):
        return None
    if by_lines:
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    try:
        return sum(1 for _ in records(path))
    except (OSError, ValueError):
        return None
