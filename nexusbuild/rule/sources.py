"""What the plan needs to know of the world outside the store: today's sources and code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.fingerprint import Code, CodeFingerprints
from nexusbuild.digest.plain_file import read_plain_file, replace_file
from nexusbuild.readable import display_path
from nexusbuild.rule.graph import Graph, Target
from nexusbuild.rule.names import is_digest
from nexusbuild.rule.record import Record

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SourceState:
    """One source. digest: today's; where it is missing, the last recorded; None: never seen."""

    path: str
    digest: str | None
    present: bool
    remedy: str = ""


@dataclass(frozen=True)
class Today:
    """sources: target -> role -> its state. code: target -> the fingerprint of what builds it."""

    sources: Mapping[str, Mapping[str, SourceState]]
    code: Mapping[str, Code] = field(default_factory=dict)

    def code_of(self, target: Target) -> Code:
        return self.code[target.id]

    def source_digests(self, target: str) -> dict[str, str]:
        return {role: source.digest or "missing" for role, source in self.sources[target].items()}

    def missing(self, target: str) -> list[tuple[str, SourceState]]:
        return [
            (role, source) for role, source in self.sources[target].items() if not source.present
        ]


class SourceMemory:
    """The last digest seen of each source, so that a source that is gone is still known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] | None = None

    def last(self, source: str) -> str | None:
        return self._load().get(source)

    def remember(self, today: Today) -> None:
        """Keep what is present today. Only a builder that holds the lock calls this."""
        seen = {
            source.path: source.digest
            for sources in today.sources.values()
            for source in sources.values()
            if source.present and source.digest is not None
        }
        if any(self.last(path) != digest for path, digest in seen.items()):
            self._load().update(seen)
            text = json.dumps(self._load(), indent=0, sort_keys=True)
            replace_file(self._path, text.encode())

    def _load(self) -> dict[str, str]:
        if self._known is None:
            try:
                found = dict(json.loads(read_plain_file(self._path, _MOST_BYTES)))
                self._known = {path: each for path, each in found.items() if is_digest(each)}
            except (OSError, ValueError, TypeError, RecursionError):
                self._known = {}
        return self._known


def gather(
    graph: Graph,
    targets: Iterable[Target],
    folder: Path,
    digests: FileDigests,
    fingerprints: CodeFingerprints,
    memory: SourceMemory,
    result_of: Callable[[str], Record | None],
) -> Today:
    """Sources and code as they are today.

    Relative sources lie in `folder`; result_of(target): its current record.
    """
    wanted = list(targets)
    paths = {
        (target.id, role): str(folder / source.path)
        for target in wanted
        for role, source in target.sources.items()
    }
    found = digests.of_sources(paths.values())
    sources: dict[str, dict[str, SourceState]] = {}
    for target in wanted:
        states = {}
        for role, source in target.sources.items():
            path = paths[target.id, role]
            digest = found[path]
            states[role] = SourceState(
                path=path,
                digest=digest or memory.last(path) or _recorded_digest(result_of(target.id), role),
                present=digest is not None,
                remedy="" if digest is not None else source.remedy_at(display_path(path)),
            )
        sources[target.id] = states
    code = {each.id: fingerprints.of(each.work, each.id, loaded_modules(each)) for each in wanted}
    return Today(sources, code)


def loaded_modules(target: Target) -> tuple[str, ...]:
    """The modules that a target's work loads by name, each once."""
    return tuple(sorted(set(target.code.values())))


def _recorded_digest(record: Record | None, role: str) -> str | None:
    use = record.sources.get(role) if record is not None else None
    return use.digest if use is not None else None
