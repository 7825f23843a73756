"""What a work function receives, and what it may call while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Progress(Protocol):
    """Called by work as often as it likes: `progress(done, total, loss=0.3)`."""

    def __call__(self, done: float, total: float, **figures: float | str) -> None: ...


class Measured(Protocol):
    """Called by work with what its run took: `measured(check_seconds=3.1)`; a name's last counts.

    It stands in the action record next to time and memory, never in an output.
    """

    def __call__(self, **figures: float) -> None: ...


def drop_measurement(**figures: float) -> None:
    """Drops what is measured: there is no record to keep it."""


class Noted(Protocol):
    """Called by work with what a person should know of the result, in a sentence.

    The build shows it when the target is made, `why` always; it is in no key.
    """

    def __call__(self, text: str) -> None: ...


def unheard(text: str) -> None:
    """Drops what is noted: nobody listens."""


@dataclass(frozen=True)
class Job:
    """What a work function receives; it writes its outputs below `out` and nowhere else.

    inputs: role -> the input's directory, or its one file. Read-only.
    sources: role -> the source as it lies on the disk. Read-only.
    out: a fresh, empty directory. scratch: survives interruption of the same key; for checkpoints.
    seed: derived from the spec's seed and the target's id. threads: CPU threads to use.
    ram_bytes: memory that the target's needs name, and that it keeps to; None where they do not.
    conduct, code: the target's. imported: for a release, the ids of those targets, among all that
    it is made of, whose results were not made in this store; no key knows it.
    """

    target: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    sources: Mapping[str, Path]
    out: Path
    scratch: Path
    seed: int
    threads: int
    progress: Progress
    ram_bytes: int | None = None
    measured: Measured = drop_measurement
    note: Noted = unheard
    conduct: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    imported: tuple[str, ...] = ()

    def load(self, role: str) -> Any:
        """The module in this role of the target's `code`. Raises ValueError where there is none."""
        from importlib import import_module

        if role not in self.code:
            raise ValueError(
                f"{self.target}: its declaration names no module as {role!r} in `code`"
            )
        return import_module(self.code[role])


Work = Callable[[Job], None]
