"""What can be built: immutable targets and the graph that they form.

Holds no state and does no work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexusbuild.rule.disk import answer


@dataclass(frozen=True)
class Needs:
    """What one target occupies while it runs: bytes, and whole CPU threads. disk_bytes: what the
    store keeps of it, by estimate. pool: of the targets that name the same one, one runs at a time.
    """

    ram_bytes: int = 0
    vram_bytes: int = 0
    gpu: bool = False
    exclusive: bool = False
    threads: int = 1
    disk_bytes: int = 0
    pool: str = ""


@dataclass(frozen=True)
class Source:
    """A file or directory outside the store; `remedy` says what to do when it is missing. In it
    `{path}` stands for the file or directory: see `remedy_at`.
    """

    path: str
    remedy: str = ""

    def remedy_at(self, path: str) -> str:
        """The remedy for a person who sees the source as `path` from where they are: a command in
        it can be copied.
        """
        if "{path}" not in self.remedy:
            return self.remedy
        from shlex import quote

        return self.remedy.replace("{path}", quote(path))


@dataclass(frozen=True)
class Target:
    """One thing that can be built.

    id: `kind:name`. work: dotted name of the function that builds it, `package.module:function`.
    code: role -> module that its work loads with `Job.load`: what is loaded is in the key, what is
    not loaded is not.
    settings: exactly the slice of the spec that the result depends on, as JSON values; its key
    `seed` is the spec's seed. origins: dotted path in `settings` -> path of the field in the spec.
    inputs: role -> another target's id, or `id#path` for one output file or folder of it.
    sources: role -> file or directory outside the store.
    pin: the lock's group that pins this target, if any.
    verdict: output file holding `{"verdict": "pass" | "fail" | "inconclusive", "summary": ...}`.
    release: its outputs are published to `dist/`, if no verdict among its inputs says otherwise.
    expected_seconds: a first guess, until history knows better.
    obstacle: why nothing can build it yet, whatever its sources; such a target is blocked.
    conduct: how its work is to behave, as JSON values, where no result depends on it: no key
    knows it.
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
    conduct: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

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
class Seen:
    """What a resolver saw of the disk: the answer to one question about a path below `root`."""

    root: str
    question: str  # see `disk.answer`
    path: str
    answer: Any

    def holds(self) -> bool:
        """Whether it is so still."""
        return bool(self.answer == answer(self.question, self.root, self.path))


class SpecFolder:
    """The folder that a spec lies in, as its resolver sees it. `seen` is all that it saw: a
    resolver that asks the disk through this alone gives a graph that can be kept.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._seen: dict[tuple[str, str], Seen] = {}

    def files(self, pattern: str) -> tuple[tuple[str, int], ...]:
        """(path, bytes) of what a pattern finds, sorted; a folder, or a link to nowhere, has 0."""
        found: tuple[tuple[str, int], ...] = self._answer("files", pattern)
        return found

    def real_path(self, path: str) -> Path:
        """Where it lies, with all links followed."""
        return Path(self._answer("real_path", path))

    def digests(self, pattern: str) -> tuple[tuple[str, str], ...]:
        """(path, digest) of what a pattern finds, sorted; what cannot be read has none."""
        found: tuple[tuple[str, str], ...] = self._answer("digests", pattern)
        return found

    def text(self, path: str) -> str | None:
        """What a small file says; None where it is missing, too long (1 MiB), or not UTF-8."""
        text: str | None = self._answer("text", path)
        return text

    def is_copy(self, path: str, other: str) -> bool:
        """Whether the two files have the same bytes, one at least. Short pieces are compared first,
        the whole only where they agree: two models of one size cost next to nothing.
        """
        for question in ("sample", "digest"):
            one = self._answer(question, path)
            if one is None or one != self._answer(question, other):
                return False
        return True

    @property
    def seen(self) -> tuple[Seen, ...]:
        return tuple(self._seen.values())

    def _answer(self, question: str, path: str) -> Any:
        key = (question, path)
        if key not in self._seen:
            found = answer(question, self._root, path)
            self._seen[key] = Seen(self._root, question, path, found)
        return self._seen[key].answer


@dataclass(frozen=True)
class Graph:
    """All targets that a spec and its lock resolve to.

    seen: all that the resolver saw of the disk besides the spec. A graph that says so, be it
    nothing, is used again while that, spec, lock and code hold; one that says None never is.
    preload: modules that the executor imports once, before the first target runs.
    ram_bytes, vram_bytes, disk_bytes: what the build may use, the last for its store; None: what
    there is.
    lock_values: per pin group, what the lock must remember so that it resolves to the same again.
    notes: what is worth knowing and makes nothing stale.
    """

    targets: Mapping[str, Target]
    preload: tuple[str, ...] = ()
    lock_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ram_bytes: int | None = None
    vram_bytes: int | None = None
    disk_bytes: int | None = None
    notes: tuple[str, ...] = ()
    seen: tuple[Seen, ...] | None = None

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets.values())

    def __getitem__(self, target_id: str) -> Target:
        return self.targets[target_id]


Resolver = Callable[[Path, Mapping[str, Any]], Graph]
