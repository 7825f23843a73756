"""What can be built: immutable targets and the graph they form.

Shared vocabulary of the engine and of whoever brings targets. Imports nothing
of the project, holds no state, does no work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

LONGEST_TEXT = 1 << 20


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
    question: str  # a name in _ANSWERS
    path: str
    answer: Any

    def holds(self) -> bool:
        """Whether it is so still."""
        return bool(self.answer == _ANSWERS[self.question](self.root, self.path))


def _files(root: str, pattern: str) -> tuple[tuple[str, int], ...]:
    # Path.glob refuses some patterns, and would take brackets in the folder's own name for one.
    from glob import glob

    found = sorted(glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207
    return tuple((path, _bytes(Path(root, path))) for path in found)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _digests(root: str, pattern: str) -> tuple[tuple[str, str], ...]:
    return tuple((path, _digest(root, path) or "") for path, _ in _files(root, pattern))


def _real_path(root: str, path: str) -> str:
    return str(Path(root, path).resolve())


def _text(root: str, path: str) -> str | None:
    file_path = Path(root, path)
    try:
        if not file_path.is_file():
            return None  # to open a pipe would wait for whoever writes into it
        with file_path.open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
        return content.decode("utf-8") if len(content) <= LONGEST_TEXT else None
    except (OSError, ValueError):
        return None


def _sample(root: str, path: str) -> str | None:
    """Digest of the size and of 64 short pieces, evenly spread: what differs is no copy."""
    return _digest_of(Path(root, path), _PIECES)


def _digest(root: str, path: str) -> str | None:
    return _digest_of(Path(root, path), None)


_PIECES = 64
_PIECE_BYTES = 4096


def _digest_of(path: Path, pieces: int | None) -> str | None:
    import hashlib

    digest = hashlib.sha256()
    try:
        size = path.stat().st_size if path.is_file() else 0
        if not size:
            return None
        digest.update(str(size).encode())
        with path.open("rb") as file:
            if pieces is None:
                while block := file.read(1 << 20):
                    digest.update(block)
                return digest.hexdigest()
            for piece in range(pieces):
                file.seek(piece * max(0, size - _PIECE_BYTES) // (pieces - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError:
        return None
    return digest.hexdigest()


_ANSWERS: Mapping[str, Callable[[str, str], Any]] = {
    "files": _files,
    "digests": _digests,
    "real_path": _real_path,
    "text": _text,
    "sample": _sample,
    "digest": _digest,
}


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

    def digests(self, pattern: str) -> tuple[tuple[str, str], ...]:
        """(path, sha256) of what a pattern finds, sorted; what cannot be read has none."""
        found: tuple[tuple[str, str], ...] = self._answer("digests", pattern)
        return found

    def real_path(self, path: str) -> Path:
        """Where it lies, with all links followed."""
        return Path(self._answer("real_path", path))

    def text(self, path: str) -> str | None:
        """What a small file says; None where it is not there, longer than LONGEST_TEXT bytes, or
        not UTF-8.
        """
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
            answer = _ANSWERS[question](self._root, path)
            self._seen[key] = Seen(self._root, question, path, answer)
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

    def to_json(self) -> dict[str, Any]:
        """As errors stand in the documents of `--json`."""
        return {
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "field": self.field,
            "remedy": self.remedy,
        }


class ResolveError(Exception):
    """The spec cannot be resolved to a graph; carries every problem found, not the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Progress(Protocol):
    """Called by work as often as it likes: `progress(done, total, loss=0.3)`."""

    def __call__(self, done: float, total: float, **figures: float | str) -> None: ...


class Measured(Protocol):
    """Called by work with what its run took: `measured(check_seconds=3.1)`; a name's last counts.

    It stands in the action record beside time and memory, never in an output.
    """

    def __call__(self, **figures: float) -> None: ...


def unrecorded(**figures: float) -> None:
    """Where nobody keeps a record."""


class Noted(Protocol):
    """Called by work with what a person should know of the result, in a sentence.

    The build shows it when the target is made, and `why` ever after; no key knows it.
    """

    def __call__(self, text: str) -> None: ...


def unheard(text: str) -> None:
    """Where nobody listens."""


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
    measured: Measured = unrecorded
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
Resolver = Callable[[Path, Mapping[str, Any]], Graph]
