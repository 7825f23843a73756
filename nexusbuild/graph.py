"""What can be built: immutable targets and the graph they form.

Shared vocabulary of the engine and of whoever brings targets. Imports nothing
of the project, holds no state, does no work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Needs:
    """What one target occupies while it runs. Bytes, and whole CPU threads."""

    ram_bytes: int = 0
    vram_bytes: int = 0
    gpu: bool = False
    exclusive: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Source:
    """A file or directory outside the store; `remedy` says what to do when it is missing."""

    path: str
    remedy: str = ""


@dataclass(frozen=True)
class Target:
    """One thing that can be built.

    id: `kind:name`. work: dotted name of the function that builds it, `package.module:function`.
    settings: exactly the slice of the spec that the result depends on, as JSON values; its key
    `seed` is the spec's seed. origins: dotted path in `settings` -> path of the field in the spec.
    inputs: role -> another target's id, or `id#path` for one output file or folder of it.
    sources: role -> file or directory outside the store.
    pin: the lock's group that pins this target, if any.
    verdict: output file holding `{"verdict": "pass" | "fail" | "inconclusive", "summary": ...}`.
    release: its outputs are published to `dist/`, if no verdict among its inputs says otherwise.
    expected_seconds: a first guess, until history knows better.
    obstacle: why nothing can build it yet, whatever its sources; such a target is blocked.
    """

    id: str
    work: str
    settings: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    needs: Needs = Needs()
    pin: str | None = None
    verdict: str | None = None
    release: bool = False
    expected_seconds: float | None = None
    obstacle: str | None = None

    @property
    def kind(self) -> str:
        return self.id.partition(":")[0]

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]


def input_target(reference: str) -> str:
    """The id in an input reference: `dataset:a#train.jsonl` -> `dataset:a`."""
    return reference.partition("#")[0]


def input_file(reference: str) -> str | None:
    """The file or folder in an input reference, or None where the whole target is meant."""
    return reference.partition("#")[2] or None


@dataclass(frozen=True)
class Graph:
    """All targets that a spec and its lock resolve to.

    preload: modules that the executor imports once, before the first target runs.
    lock_values: per pin group, what the lock must remember so that it resolves to the same again.
    notes: what is worth knowing and makes nothing stale.
    """

    targets: Mapping[str, Target]
    preload: tuple[str, ...] = ()
    lock_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ram_bytes: int | None = None
    vram_bytes: int | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets.values())

    def __getitem__(self, target_id: str) -> Target:
        return self.targets[target_id]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what a person wrote: what, where, what to do."""

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    field: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        parts = [place, self.field, self.message]
        text = ": ".join(part for part in parts if part)
        return f"{text}\n    {self.remedy}" if self.remedy else text


class ResolveError(Exception):
    """The spec cannot be resolved to a graph; carries every problem found, not the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Progress(Protocol):
    """Called by work as often as it likes: `progress(done, total, loss=0.3)`."""

    def __call__(self, done: float, total: float, **figures: float | str) -> None: ...


@dataclass(frozen=True)
class Job:
    """What a work function receives; it writes its outputs below `out` and nowhere else.

    inputs: role -> the input's directory, or its one file. Read-only.
    sources: role -> the source as it lies on the disk. Read-only.
    out: a fresh, empty directory. scratch: survives interruption of the same key; for checkpoints.
    seed: derived from the spec's seed and the target's id. threads: CPU threads to use.
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


Work = Callable[[Job], None]
Resolver = Callable[[Path, Mapping[str, Any]], Graph]
