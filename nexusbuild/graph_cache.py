"""The resolved graph, used again for as long as nothing that it was resolved from has changed.

That is: the spec's bytes; the lock's values; what the resolver saw of the disk, which the graph
itself says; the resolver's code, project modules by their fingerprint and every other module that
was loaded by its file's stat; the packages that are installed; Python, and where it finds what the
resolver loaded. Other folders on Python's path do not matter: `nexusbuild` and `python -m
nexusbuild` meet the same graph.
"""

# ruff: noqa: PTH116, PTH117, PTH120
# Asks for hundreds of files; os is several times as fast as pathlib.

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.installed import installed_packages, places_of
from nexusbuild.digest.keys import Canonical, canonical_json, plain_json
from nexusbuild.digest.statcache import (
    is_settled,
    read_values,
    signature_at,
    signature_of,
    write_values,
)
from nexusbuild.errors import BuildError
from nexusbuild.rule.graph import Graph, Needs, Seen, Source, Target

# Raise it when what stands in the file, or what it is held against, changes.
_FORM = 4


class Question:
    """What is asked, before it is answered: of which resolver, about what, in which Python."""

    def __init__(self, spec: Path, resolver: str | None, lock_values: Mapping[str, Any]) -> None:
        self.asked_ns = time.time_ns()
        self.path = list(sys.path)  # a resolver may change it
        self.spec = str(spec)
        self.values = (
            _FORM,
            self.spec,
            _bytes(spec),
            canonical_json(lock_values),
            resolver,
            sys.version,
            installed_packages(),
        )


class GraphCache:
    """The graph of one store's project, in one file."""

    def __init__(self, path: Path, fingerprints: CodeFingerprints) -> None:
        self._path = path
        self._fingerprints = fingerprints
        self.kept: dict[str, Any] | None = None  # what the graph in use was resolved from
        self._changed = False

    def graph(self, question: Question) -> Graph | None:
        """The graph that the resolver would give, where that is certain."""
        kept = read_values(self._path)
        if not isinstance(kept, dict) or kept.get("question") != question.values:
            return None
        if not self._holds(kept):
            return None
        self.kept = kept
        return graph_from(kept["graph"])

    def take(self, question: Question, function: str, graph: Graph) -> None:
        """Keep a graph that `function` (`module:name`) has just resolved, if it can be kept."""
        if graph.seen is None:
            return
        try:
            code = self._fingerprints.of(function)
            loaded = _loaded_files()
            others = [path for name, path in loaded.items() if name not in code.modules]
            files = {path: signature_of(os.stat(path)) for path in sorted({*others})}
            reached = [sys.modules[name].__file__ for name in code.modules if name in sys.modules]
            for path in (question.spec, *filter(None, reached), *files):
                if not is_settled(signature_of(os.stat(path)), question.asked_ns):
                    return  # it may have been resolved from another version
            self.kept = {
                "question": question.values,
                "code": (function, code.fingerprint),
                "files": files,
                "places": places_of({name.partition(".")[0] for name in loaded}, question.path),
                "graph": graph_values(graph),
            }
            self._changed = True
        except (BuildError, OSError):
            return  # no file holds the resolver, or it is gone, or a setting is not JSON

    def save_cache(self) -> None:
        """Write what was taken."""
        if self._changed:
            write_values(self._path, self.kept)
            self._changed = False

    def _holds(self, kept: Mapping[str, Any]) -> bool:
        """Whether all that the graph was resolved from is what it was."""
        function, fingerprint = kept["code"]
        try:
            return (
                all(signature_at(path) == then for path, then in kept["files"].items())
                and places_of(kept["places"], sys.path) == kept["places"]
                and self._fingerprints.of(function).fingerprint == fingerprint
                and all(Seen(*each).holds() for each in kept["graph"]["seen"])
            )
        except BuildError:
            return False


def _bytes(spec: Path) -> bytes | None:
    try:
        return spec.read_bytes()
    except OSError:
        return None  # the resolver has the words for it


def _loaded_files() -> dict[str, str]:
    """module -> its file, of all that are loaded by now but Python's own."""
    standard = os.path.dirname(os.__file__)
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path is None or not os.path.isabs(path):
            continue  # a path that is not whole is made up, as those of torch.ops are
        if os.path.dirname(path).startswith(standard) and "-packages" not in path:
            continue
        found[name] = path
    return found


def graph_values(graph: Graph) -> dict[str, Any]:
    """A graph as plain values: each field by its name, so that none can be forgotten."""
    assert graph.seen is not None
    return {
        **{each.name: getattr(graph, each.name) for each in fields(Graph)},
        "targets": [
            [_VALUES.get(name, _itself)(getattr(target, name)) for name in _TARGET]
            for target in graph
        ],
        "lock_values": plain_json(graph.lock_values),
        "seen": [_of_fields(each) for each in graph.seen],
    }


def graph_from(values: Mapping[str, Any]) -> Graph:
    """The graph of which `values` were made."""
    targets = {}
    for each in values["targets"]:
        for place, restored in _RESTORED:
            each[place] = restored(each[place])
        targets[each[0]] = Target(*each)
    return Graph(**{**values, "targets": targets, "seen": tuple(Seen(*s) for s in values["seen"])})


def _itself(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _of_fields(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, each.name) for each in fields(value))


_TARGET = [each.name for each in fields(Target)]
_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "settings": lambda settings: (plain_json(settings), canonical_json(settings)),
    "sources": lambda sources: {role: _of_fields(each) for role, each in sources.items()},
    "needs": _of_fields,
}
_RESTORED: Sequence[tuple[int, Callable[[Any], Any]]] = [
    (_TARGET.index("settings"), lambda pair: Canonical(*pair)),
    (
        _TARGET.index("sources"),
        lambda sources: {role: Source(*each) for role, each in sources.items()},
    ),
    (_TARGET.index("needs"), lambda needs: Needs(*needs)),
]
