"""Rows of parquet files, by pyarrow where that is installed: nothing else here needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS_AT_ONCE = 1024


class ParquetMissingError(ValueError):
    """The library that reads parquet is not installed."""


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file. Raises ValueError where it cannot be read."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ParquetMissingError(
            f"{path}: parquet is read by pyarrow, which is not installed; "
            "pip install 'nexus-distill[parquet]'"
        ) from error
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({error})") from error
