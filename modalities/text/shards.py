"""A trace on disk: what training needs of a teacher, a shard at a time.

`trace-NNNNN.jsonl` holds the rows of a shard, `trace-NNNNN.safetensors` its arrays over all
their answer tokens: ids in the teacher's vocabulary, where each ends in the answer's bytes, its
log-probability, and the k likeliest tokens with theirs. The mass outside the k is kept as one
number; nothing is renormalised. Indices are packed into two bytes where the vocabulary allows.
Rows are in the order of their ids.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from modalities.json_files import iterate_rows, write_rows


@dataclass(frozen=True)
class TracedRow:
    """One answer as its teacher sees it; logarithms in nats.

    answer_ids, byte_ends: (tokens,); token_log_probs: (tokens,) float16; top_ids,
    top_log_probs: (tokens, k), likeliest first; tail_log_probs: (tokens,), the mass outside.
    coefficients: `activation/<key layer>` and `attention/<key layer>` -> (tokens, k) float16, in
    the profile's basis, or empty.
    """

    row: dict[str, Any]
    answer_ids: NDArray[Any]
    byte_ends: NDArray[Any]
    token_log_probs: NDArray[Any]
    top_ids: NDArray[Any]
    top_log_probs: NDArray[Any]
    tail_log_probs: NDArray[Any]
    coefficients: dict[str, NDArray[Any]]


ARRAYS = (
    "answer_ids",
    "byte_ends",
    "token_log_probs",
    "top_ids",
    "top_log_probs",
    "tail_log_probs",
)


STORED_TYPES = {"U16": np.uint16, "U32": np.uint32, "I32": np.int32, "F16": np.float16}


def index_type(vocabulary: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest unsigned integers that hold every id of a vocabulary."""
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32


def write_shard(directory: Path, number: int, rows: list[TracedRow]) -> None:
    """Write one shard whole: the array file appears last, and only when complete."""
    stem = directory / f"trace-{number:05d}"
    write_rows(stem.with_suffix(".jsonl"), (row.row for row in rows))
    arrays = {name: np.concatenate([getattr(row, name) for row in rows]) for name in ARRAYS}
    arrays["row_ends"] = np.cumsum([len(row.answer_ids) for row in rows]).astype(np.uint32)
    kept = [row for row in rows if row.coefficients]
    for name in sorted(kept[0].coefficients) if kept else []:
        # Rows with coefficients come first in a trace, so their tokens are the first ones.
        arrays[f"coefficients/{name}"] = np.concatenate([row.coefficients[name] for row in kept])
    partial = stem.with_suffix(".partial")
    save_file(arrays, partial)
    partial.replace(stem.with_suffix(".safetensors"))


def shard_exists(directory: Path, number: int) -> bool:
    """Whether a shard was written whole."""
    return (directory / f"trace-{number:05d}.safetensors").exists()


def traced_rows(directory: Path) -> Iterator[TracedRow]:
    """Every row of a trace, in the order of its shards; a row at a time is in memory."""
    for file in sorted(directory.glob("trace-*.safetensors")):
        with file.open("rb", buffering=0) as opened:
            arrays = _arrays_in(opened)
            prefix = "coefficients/"
            coefficients = [name for name in arrays if name.startswith(prefix)]
            start = 0
            ends = arrays["row_ends"].read(0, arrays["row_ends"].length).tolist()
            for row, end in zip(iterate_rows(file.with_suffix(".jsonl")), ends, strict=True):
                yield TracedRow(
                    row,
                    **{name: arrays[name].read(start, end) for name in ARRAYS},
                    coefficients={
                        name.removeprefix(prefix): arrays[name].read(start, end)
                        for name in coefficients
                        if end <= arrays[name].length
                    },
                )
                start = end


@dataclass(frozen=True)
class _StoredArray:
    """One array of an open safetensors file: (length, *shape) of dtype, from byte `begin` on."""

    file: FileIO
    dtype: np.dtype[Any]
    length: int
    shape: tuple[int, ...]
    begin: int

    def read(self, start: int, end: int) -> NDArray[Any]:
        """(end - start, *shape), read-only. Read by position: a mapped page would count as memory
        of the process until the system takes it back.
        """
        size = self.dtype.itemsize * math.prod(self.shape)
        found = os.pread(self.file.fileno(), (end - start) * size, self.begin + start * size)
        return np.frombuffer(found, self.dtype).reshape(end - start, *self.shape)


def _arrays_in(file: FileIO) -> dict[str, _StoredArray]:
    """The arrays of a safetensors file: eight bytes give the length of a JSON header, and the
    header gives type, shape and place of each array in what follows it.
    """
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: _StoredArray(
            file,
            np.dtype(STORED_TYPES[about["dtype"]]),
            about["shape"][0],
            tuple(about["shape"][1:]),
            8 + size + about["data_offsets"][0],
        )
        for name, about in header.items()
    }
