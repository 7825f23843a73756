"""What a step after a build may know and do: look at results, drop files, keep a journal."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nexusbuild.graph import Graph
from nexusbuild.project import Place, Project
from nexusbuild.rule.plan import planned
from nexusbuild.rule.record import Output

JOURNAL = "deletions.jsonl"


class Built:
    """A project whose build has passed. Whoever holds one holds the store's lock."""

    def __init__(self, place: Place) -> None:
        self._project = Project(place)
        self._store = self._project.store

    @property
    def graph(self) -> Graph:
        return self._project.graph

    @property
    def spec(self) -> Path:
        """Sources are relative to its folder."""
        return self._project.place.spec

    @property
    def own_places(self) -> tuple[Path, ...]:
        """The builder's own: the spec, the lock, the store, what it shows and releases."""
        place = self._project.place
        return (place.spec, place.lock, place.store, place.build, place.dist)

    def unfinished(self) -> list[str]:
        """Targets without their result, in the order of the graph."""
        steps = planned(self._project.world())
        return [name for name, step in steps.items() if step.state != "fresh"]

    def stored_bytes(self, targets: Collection[str]) -> int:
        """Bytes of the files that only these targets have, of whatever build."""
        return sum(output.bytes for output in self._only_of(targets))

    def drop_files(self, targets: Collection[str]) -> None:
        """Delete these; the records stay, so that the targets count as built. What must run and
        needs one of the files has it made again.
        """
        for output in self._only_of(targets):
            self._store.discard(output)

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Note, for good, what is about to be deleted."""
        line = json.dumps({"time": round(time.time(), 3), **entry}, sort_keys=True)
        with (self._store.root / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _only_of(self, targets: Collection[str]) -> list[Output]:
        """Objects here that no other target's record refers to."""
        own: dict[str, Output] = {}
        others: set[str] = set()
        for key in self._store.record_keys():
            record = self._store.record(key)
            if record is None:
                continue
            if record.target in targets:
                own |= {output.sha256: output for output in record.outputs}
            else:
                others |= {output.sha256 for output in record.outputs}
        return [
            output
            for digest, output in sorted(own.items())
            if digest not in others and self._store.object(digest).exists()
        ]
