"""What a report shows, and how it writes times and sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nexusbuild.plugins import BuiltFiles, Overview, TargetOverview

MARKS = {"fresh": "✓", "cached": "↺", "stale": "●", "maybe": "?", "blocked": "✕"}
VERDICTS = {"pass": "✓ pass", "fail": "✕ fail", "inconclusive": "? inconclusive"}


@dataclass(frozen=True)
class Project:
    """Everything that the sections read. ram, vram, disk: what the spec grants, in bytes."""

    name: str
    overview: Overview
    result_of: Callable[[str], BuiltFiles | None]
    ram: int | None = None
    vram: int | None = None
    disk: int | None = None

    def of_kind(self, *kinds: str) -> Iterator[TargetOverview]:
        """Targets of these kinds that have a result."""
        for target in self.overview.targets:
            if target.kind in kinds and target.provenance:
                yield target

    def with_output(self, *paths: str) -> Iterator[TargetOverview]:
        """Targets, of whatever kind, that have a result with these files in it."""
        for target in self.overview.targets:
            if target.provenance and all(path in target.outputs for path in paths):
                yield target

    def with_verdict(self) -> Iterator[TargetOverview]:
        """Targets that have judged something."""
        for target in self.overview.targets:
            if target.provenance and target.verdict is not None:
                yield target

    @property
    def built(self) -> bool:
        return any(target.provenance for target in self.overview.targets)


def day(epoch: float) -> str:
    """`2026-11-22 09:21`, in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))


def duration(seconds: float | None) -> str:
    """`0.4 s`, `1 min 15 s`, `2 h 5 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float | None) -> str:
    """`812 B`, `1.9 MB`."""
    if count is None:
        return "–"
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
