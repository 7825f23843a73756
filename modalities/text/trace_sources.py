"""The traces that a student learns from, and the best teacher's answer to each prompt in them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.shards import TracedRow, traced_rows

Entry = tuple[str, int, TracedRow]


@dataclass(frozen=True)
class TraceSource:
    """A trace and the tokenizer of its teacher. capability: whose rows these are."""

    capability: str
    trace: Path
    tokenizer: PreTrainedTokenizerBase


def trace_sources(
    inputs: Mapping[str, Path],
    open_tokenizer: Callable[[Path], PreTrainedTokenizerBase],
    capability: str | None = None,
) -> list[TraceSource]:
    """The traces among a job's inputs, with their teachers' tokenizers.

    Roles are `trace/<teacher>/<capability>`, or `trace/<teacher>` where one capability is meant,
    and `tokenizer/<teacher>`.
    """
    sources = []
    for role in sorted(inputs):
        kind, *names = role.split("/")
        if kind != "trace":
            continue
        of = capability if capability is not None else names[1]
        tokenizer = open_tokenizer(inputs[f"tokenizer/{names[0]}"])
        sources.append(TraceSource(of, inputs[role], tokenizer))
    return sources


def best_rows(sources: Sequence[TraceSource]) -> Iterator[tuple[int, TracedRow]]:
    """Per capability and prompt the better answer: by merit, ties by likelihood per byte.

    Merit is the metric, turned so that more is better. Of equals the first source's is taken.

    Yields (index of its source, row), by capability and id. A trace is in the order of its ids, so
    one row of each is in memory at a time.
    """
    for capability in sorted({source.capability for source in sources}):
        entries = [
            _entries(index, source.trace)
            for index, source in enumerate(sources)
            if source.capability == capability
        ]
        for _, same in groupby(heapq.merge(*entries, key=itemgetter(0)), itemgetter(0)):
            _, index, traced = max(same, key=lambda entry: _merit(entry[2]))
            yield index, traced


def _entries(index: int, trace: Path) -> Iterator[Entry]:
    before = ""
    for traced in traced_rows(trace):
        name = str(traced.row["id"])
        if name < before:
            raise ValueError(f"{trace}: row {name} comes after {before}; a trace is sorted by id")
        before = name
        yield name, index, traced


def _merit(traced: TracedRow) -> tuple[float, float]:
    size = len(traced.row["answer"].encode()) + 1
    return float(traced.row["merit"]), float(traced.row["log_prob"]) / size
