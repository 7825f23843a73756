"""How long `nexusbuild data sort` takes on many files: look, move, undo.

    python benchmarks/data_sort.py [FILES]

Small files of five shapes in nested folders, one shape in five left where it is. Seconds are those
of the processor (user and system), the least of three runs; looking at the files is most of it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
RUNS = 3


def rows(shape: int, number: int, random: Random) -> Iterator[dict[str, Any]]:
    """Rows of one file."""
    for line in range(random.randint(3, 30)):
        yield (
            {"question": f"What is {number}+{line}?", "answer": f"#### {number + line}"},
            {"query": f"play {line}", "tool_calls": [{"name": "play", "arguments": {"n": number}}]},
            {"prompt": "def f(x):", "test": "assert f(1)", "completion": f"    return x + {line}"},
            {"text": f"Once upon a time {number} {line} there was a story about many things."},
            {"a": number, "b": line},
        )[shape]


def make(folder: Path, files: int) -> None:
    random = Random(1)
    for number in range(files):
        place = folder / f"{number % 97:02}" / f"{number % 7}" / f"{number}.data"
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row) for row in rows(number % 5, number, random))
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")


def seconds(folder: Path, *arguments: str) -> float:
    """Processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "nexusbuild", "data", "sort", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "raw", files)
        best: dict[str, float] = {}
        for _ in range(RUNS):
            for what, arguments in (
                ("dry run", ("raw", "--dry-run")),
                ("sort", ("raw",)),
                ("undo", ("--undo",)),
            ):
                best[what] = min(best.get(what, 1e9), seconds(folder, *arguments))
    for what, took in best.items():
        print(f"{what:<8} {files:,} files  {took:6.2f} s  {1e6 * took / files:6.0f} µs a file")


if __name__ == "__main__":
    main()
