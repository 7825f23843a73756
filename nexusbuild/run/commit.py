"""What follows once a target has its result: it becomes the current one, is shown, pinned,
published. All of it can be done again, so a kill in between costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nexusbuild.project import Project
from nexusbuild.readable import display_path
from nexusbuild.rule.lock import Lock, changed_source, pin_of, sources_behind, write_lock
from nexusbuild.rule.plan import Step, World
from nexusbuild.rule.record import Record
from nexusbuild.store.buildlog import BuildLog
from nexusbuild.store.released import is_shown


class ResultCommitter:
    """Commits results of one build, from several threads."""

    def __init__(self, project: Project, world: World) -> None:
        self._project = project
        self._world = world
        self._guard = threading.Lock()
        known = {
            target: pin
            for target, pin in project.lock.pins.items()
            if target in project.graph.targets
        }
        # A resolved value goes to the lock only after a target used it.
        pinned = {target.pin for target in project.graph}
        resolved = project.graph.lock_values
        values = {
            group: value
            for group, value in resolved.items()
            if group in project.lock.values or group not in pinned
        }
        self._lock = Lock(values, known)

    def commit(self, step: Step, built: bool = False) -> None:
        """`step` has its record. built: just now, so its files may be others under the same key."""
        record = step.record
        assert record is not None
        store, place = self._project.store, self._project.place
        with self._guard:
            if step.target.release:
                self._publish(step.target.id, record, built)
            there = store.current(record.target) == record.key
            if built or not there or not is_shown(place.build, record.target):
                from nexusbuild.store.views import show

                show(place.build, store, record.target, record)
                store.set_current(record.target, record.key)
            if step.target.pin is not None:
                self._pin(step, record)

    def lacks_files(self, step: Step, note: Callable[[str], None]) -> bool:
        """Whether it is to be published, and its files are not all there with all their bytes."""
        record, store = step.record, self._project.store
        if not step.target.release or record is None:
            return False
        if self._project.is_published(step.target.id, record):
            return False
        lacking = [output for output in record.outputs if not store.verified(output)]
        for output in lacking:
            if store.object(output.sha256).exists():
                store.discard(output)
                note(f"{step.target.id}: {output.path} was damaged; it is made again")
        return bool(lacking)

    def open_log(self, command: str, began: float) -> BuildLog:
        kept = {
            target: key
            for target in self._project.graph.targets
            if (key := self._project.store.current(target)) is not None
        }
        spec = display_path(self._project.place.spec)
        return BuildLog(self._project.store.root, spec, command, began, kept)

    def finish(self, whole: bool) -> None:
        """The build is over. whole: it looked at every target, so other views are of the past."""
        with self._guard:
            self._write_lock()
            gone = set(self._project.store.current_targets()) - self._project.graph.targets.keys()
            if whole and gone:
                from nexusbuild.store.views import hide

                for target in gone:
                    hide(self._project.place.build, target)

    def _pin(self, step: Step, record: Record) -> None:
        target = step.target
        pin = self._lock.pins.get(target.id)
        sources = sources_behind(self._project.graph, target.id, self._world.today)
        if target.id in self._world.held and pin is not None:
            kept = target.id not in self._world.forced and step.state in ("fresh", "cached")
            if kept or changed_source(pin.sources, sources) is None:
                # The store remembers which record stands for the lock's. Machines of another kind
                # make other bytes; that must not change a committed file.
                if record.key != pin.key or self._project.store.alias(pin.key) is not None:
                    self._project.store.set_alias(pin.key, record.key)
                return
        fresh = pin_of(target, record, sources)
        if fresh != pin:
            self._lock = self._lock.with_pin(target.id, fresh)
            resolved = self._project.graph.lock_values
            if fresh.group in resolved:
                self._lock = self._lock.with_value(fresh.group, resolved[fresh.group])
            self._write_lock()

    def _write_lock(self) -> None:
        if not self._lock.says_the_same_as(self._project.lock):
            write_lock(self._project.place.lock, self._lock)

    def _publish(self, target: str, record: Record, built: bool) -> None:
        store, dist = self._project.store, self._project.place.dist
        done = not built and self._project.is_published(target, record)
        if done or store.missing(record.outputs):
            return
        from nexusbuild.store.views import drop_candidate, publish

        before = store.published(target)
        publish(
            dist, store, record, store.record(before) if before else None, self._project.digests
        )
        store.set_published(target, record.key)
        drop_candidate(self._project.place.build)
