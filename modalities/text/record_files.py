"""Records of one size in a file, any number of them for each row; only what is asked for is read.

For training rows: they are written once, in order, and read a batch at a time. The files are
scratch of one job, in the byte order of its machine. They are read by position and not mapped: a
mapped page counts as memory of the process until the system takes it back.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class RecordWriter:
    """Appends the records of one row after another. rows_before: rows that have none."""

    def __init__(self, path: Path, dtype: np.dtype[Any], rows_before: int = 0) -> None:
        self.dtype = dtype
        self._file = path.open("wb")
        self._counts = array("I", [0] * rows_before)

    def append(self, records: NDArray[Any]) -> None:
        """Write the next row's records, (records,) of the writer's dtype."""
        self._file.write(np.ascontiguousarray(records, self.dtype).tobytes())
        self._counts.append(len(records))

    @property
    def counts(self) -> NDArray[np.uint32]:
        """(rows,) records of each row so far."""
        return np.array(self._counts, dtype=np.uint32)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RecordFile:
    """What a `RecordWriter` wrote. counts: (rows,) records of each row.

    In memory stay 8 bytes for each row.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], counts: NDArray[np.uint32]) -> None:
        self._path, self._dtype = path, dtype
        self._file = path.open("rb", buffering=0)
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    def counts(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """(rows,) records of each of these rows."""
        index = np.asarray(rows, dtype=np.int64)
        counts: NDArray[np.int64] = self.starts[index + 1] - self.starts[index]
        return counts

    def read(self, rows: Sequence[int]) -> NDArray[Any]:
        """(records,) those of these rows, in the order given; read-only."""
        parts = [self._bytes(int(self.starts[row]), int(self.starts[row + 1])) for row in rows]
        return np.frombuffer(b"".join(parts), self._dtype)

    def between(self, start: int, end: int) -> NDArray[Any]:
        """(end - start,) the records from `start` on, whatever rows they belong to; read-only."""
        return np.frombuffer(self._bytes(start, end), self._dtype)

    def _bytes(self, start: int, end: int) -> bytes:
        size = (end - start) * self._dtype.itemsize
        found = os.pread(self._file.fileno(), size, start * self._dtype.itemsize)
        if len(found) < size:
            raise OSError(f"{self._path} is shorter than it was: delete {self._path.parent}")
        return found


class TokenLists(Sequence[list[int]]):
    """Token ids of each row, read from a file of plain numbers whenever one is asked for."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return len(self._file)

    @overload
    def __getitem__(self, row: int) -> list[int]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[int]]: ...

    def __getitem__(self, row: int | slice) -> list[int] | list[list[int]]:
        if isinstance(row, slice):
            return [self[one] for one in range(len(self))[row]]
        ids: list[int] = self._file.read([range(len(self))[row]]).tolist()
        return ids
