"""A project opened: its spec, the graph that it resolves to, its store and its lock."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.statcache import StatCache
from nexusbuild.graph_cache import GraphCache, Question
from nexusbuild.rule.graph import Graph, Target
from nexusbuild.rule.lock import Lock, read_lock
from nexusbuild.rule.plan import World
from nexusbuild.rule.record import Record
from nexusbuild.rule.sources import SourceMemory, Today, gather
from nexusbuild.store.released import is_published
from nexusbuild.store.store import Store
from nexusbuild.unchanged import SPEC_NAME


@dataclass(frozen=True)
class Place:
    """Where a project's things are. resolver: the entry point's name, or `module:function`."""

    spec: Path
    store: Path
    resolver: str | None = None

    @property
    def folder(self) -> Path:
        return self.spec.parent

    @property
    def lock(self) -> Path:
        return self.spec.with_suffix(".lock")

    @property
    def build(self) -> Path:
        return self.folder / "build"

    @property
    def dist(self) -> Path:
        return self.folder / "dist"


class Project:
    """One resolved spec with what is known of its files. Opening it writes nothing."""

    def __init__(self, place: Place, lock: Lock | None = None) -> None:
        self.opened_ns = time.time_ns()
        self.place = place
        if place.resolver is not None and ":" in place.resolver:
            _look_next_to(place.spec)
        cache = place.store / "cache"
        self.store = Store(place.store, StatCache(cache / "records"))
        self.store.check_format()
        self._locks = StatCache(cache / "locks")
        self.lock = read_lock(place.lock, self._locks) if lock is None else lock
        self.digests = FileDigests(StatCache(cache / "files"))
        self.fingerprints = CodeFingerprints(StatCache(cache / "code"))
        self._graphs = GraphCache(cache / "graph", self.fingerprints)
        self.graph = self._resolve_graph()
        self.memory = SourceMemory(place.store / "sources.json")

    def results(self) -> dict[str, Record]:
        """target -> the result that the current build left it with."""
        found = {target: self.result(target) for target in self.graph.targets}
        return {target: record for target, record in found.items() if record is not None}

    def result(self, target: str) -> Record | None:
        key = self.store.current(target)
        return self.store.record(key) if key else None

    def is_published(self, target: str, record: Record) -> bool:
        """Whether dist/ holds this result of a release."""
        return is_published(self.place.dist, record, self.store.published(target), self.digests)

    def to_publish(self, targets: Iterable[str]) -> set[str]:
        """Releases that are not in dist/ as the current build left them: their files are needed."""
        found = set()
        for target in targets:
            record = self.result(target) if self.graph[target].release else None
            if record is not None and not self.is_published(target, record):
                found.add(target)
        return found

    def today(self) -> Today:
        return self._gather(self.graph, list(self.graph))

    def look_again(self, target: Target) -> Today:
        """Sources and code of one target, looked at again."""
        self.fingerprints.forget()
        return self._gather(self.graph, [target])

    def world(self, forced: Collection[str] = ()) -> World:
        return World(self.graph, self.today(), self.store, self.lock, frozenset(forced))

    @property
    def kept_graph(self) -> Mapping[str, Any] | None:
        """What the graph cache keeps with the graph; None where it keeps none."""
        return self._graphs.kept

    def save_graph(self) -> None:
        """Keep the graph, where there is a store to keep it in."""
        if self.place.store.exists():
            self._graphs.save_cache()

    def save_caches(self) -> None:
        for each in (self.store, self._locks, self.digests, self.fingerprints, self._graphs):
            each.save_cache()

    def _resolve_graph(self) -> Graph:
        """The graph of the spec under the values of the lock."""
        place, values = self.place, self.lock.values
        question = Question(place.spec, place.resolver, values)
        kept = self._graphs.graph(question)
        if kept is not None:
            return kept
        from nexusbuild.resolver import find_resolver, resolve

        resolver, function = find_resolver(place.resolver)
        graph = resolve(resolver, place.resolver or "default", place.spec, values)
        self._graphs.take(question, function, graph)
        return graph

    def _gather(self, graph: Graph, targets: list[Target]) -> Today:
        return gather(
            graph,
            targets,
            self.place.folder,
            self.digests,
            self.fingerprints,
            self.memory,
            self.result,
        )


def find_place(
    spec: str | None = None, store: str | None = None, resolver: str | None = None
) -> Place:
    """The place of the named spec, or of the nearest nexus.yaml here or above."""
    path = _spec_named(spec) if spec is not None else nearest_spec()
    root = Path(os.path.realpath(store)) if store is not None else path.parent / ".nexus"
    obstacle = "--store ''" if store == "" else _obstacle(root)
    if obstacle is not None:
        raise errors.store_not_a_directory(str(obstacle))
    return Place(path, root, resolver or os.environ.get("NEXUSBUILD_RESOLVER"))


def _spec_named(name: str) -> Path:
    if not name:
        raise errors.spec_missing("-f ''")
    path = Path(name)
    if _answer(path.is_dir):
        path = path / SPEC_NAME
    if not _answer(path.is_file):
        raise errors.spec_missing(str(path))
    return path.parent.resolve() / path.name


def nearest_spec() -> Path:
    """The nexus.yaml here or in a parent folder. Raises BuildError where there is none."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise errors.folder_gone() from None
    for folder in (here, *here.parents):
        path = folder / SPEC_NAME
        if _answer(path.is_file):
            return path
    raise errors.no_spec(SPEC_NAME, str(here))


def _obstacle(root: Path) -> Path | None:
    """What keeps `root` from being a directory, or from being made one; None: nothing does."""
    nearest = next(each for each in (root, *root.parents) if os.path.lexists(each))
    if not _answer(nearest.is_dir):
        return nearest
    try:
        root.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return root
    return None


def _answer(question: Callable[[], bool]) -> bool:
    """Its answer; False where there is none: the path is too long, or a loop."""
    try:
        return question()
    except OSError:
        return False


def _look_next_to(spec: Path) -> None:
    """Let a resolver that is named by its module, and its works, lie next to the spec.

    Last of all places, so that no module there takes the place of an installed one.
    """
    folder = str(spec.parent)
    if folder not in sys.path:
        sys.path.append(folder)
