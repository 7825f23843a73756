"""What one target takes, by estimate: first guesses, until history knows better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexusbuild.plugins import Needs, Target
from targets.budget.devices import GIGABYTE
from targets.budget.sizes import Sizes

QUICK_SECONDS = 2.0
SMALL_FILES_BYTES = 20_000


@dataclass(frozen=True)
class Step:
    """One step of training: how many rows it has, bytes that each of them takes, and the field of
    the spec that says how many.
    """

    rows: int
    bytes_per_row: float
    field: str


@dataclass(frozen=True)
class Estimate:
    """needs: memory and devices while it runs. seconds: of its work. disk_bytes: what the store
    keeps of it. step: of what trains in steps whose size the spec says.
    """

    needs: Needs
    seconds: float = QUICK_SECONDS
    disk_bytes: float = SMALL_FILES_BYTES
    step: Step | None = None


Estimator = Callable[[Target, Sizes], Estimate]


def small_files(target: Target, sizes: Sizes) -> Estimate:
    """Of a target that reads and writes small files, of whatever spec."""
    return Estimate(quick_needs())


def quick_needs() -> Needs:
    """Of a target that reads and writes small files."""
    return Needs(ram_bytes=GIGABYTE // 2)
