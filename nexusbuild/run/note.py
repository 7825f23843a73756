"""Notes all that a plan was made from, where it found every target fresh.

`nexusbuild/unchanged.py` says what the note is for, and reads it.
"""

# ruff: noqa: PTH110, PTH118
# Names thousands of paths; os is several times as fast as pathlib.

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from nexusbuild.digest.digests import tree_below
from nexusbuild.digest.installed import installed_packages, places_of
from nexusbuild.digest.statcache import is_settled, signature_at, write_values
from nexusbuild.project import Place, Project
from nexusbuild.rule.plan import Steps
from nexusbuild.rule.record import Record, file_name
from nexusbuild.run.build_plan import BuildPlan
from nexusbuild.show.plan_notes import plan_notes
from nexusbuild.store.released import top_names
from nexusbuild.unchanged import (
    NOTE,
    SPEC_NAME,
    link_at,
    names_in,
    noted_lines,
    object_is_sound,
    python_path,
    setting_of,
)


def note_unchanged(project: Project, build_plan: BuildPlan) -> None:
    """Leave the note for later dry runs, if it can be relied on and is not there yet."""
    place, steps = project.place, build_plan.steps
    folder, resolver = str(place.folder), os.environ.get("NEXUSBUILD_RESOLVER")
    usual = Place(place.folder / SPEC_NAME, place.folder / ".nexus", resolver)
    if place != usual or project.kept_graph is None:
        return
    if any(step.state != "fresh" for step in steps.values()):
        return
    if noted_lines(folder) is not None:
        return
    looked_at = _Looked()
    looked_at.at_project(project)
    looked_at.at_store(project, steps)
    if not _is_as_planned(project, build_plan, looked_at):
        return
    notes = plan_notes(project, build_plan.world, steps, list(steps))
    note = {
        "setting": setting_of(folder),
        "lines": [*(f"note: {each}" for each in notes), f"{len(steps)} fresh"],
        "files": [(path, signature_at(path)) for path in sorted(looked_at.files)],
        "folders": [(*each, names_in(*each)) for each in sorted(looked_at.folders)],
        "links": [(path, link_at(path)) for path in sorted(looked_at.links)],
        "objects": sorted(looked_at.objects),
        "places": places_of(looked_at.modules, python_path(folder)),
        "answers": [
            ((each.question, each.root, each.path), each.answer)
            for each in project.graph.seen or ()
        ],
    }
    write_values(place.store / NOTE, note)


def _is_as_planned(project: Project, build_plan: BuildPlan, looked_at: _Looked) -> bool:
    """Whether nothing has changed since the project was opened, as far as a stat can tell."""
    kept = project.kept_graph or {}
    paths = (*looked_at.files, *(folder for folder, _ in looked_at.folders))
    signatures = filter(None, map(signature_at, paths))
    sources = [each for its in build_plan.world.today.sources.values() for each in its.values()]
    return (
        all(is_settled(each, project.opened_ns) for each in signatures)
        and all(each.present == os.path.exists(each.path) for each in sources)
        and all(object_is_sound(path, size) for path, size in looked_at.objects)
        and kept["question"][-1] == installed_packages()
        and places_of(kept["places"], python_path(str(project.place.folder))) == kept["places"]
    )


class _Looked:
    """What a plan looks at. folders: (path, whether hidden names count). objects: (path, bytes)."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[tuple[str, bool]] = set()
        self.links: set[str] = set()
        self.objects: set[tuple[str, int]] = set()
        self.modules: set[str] = set()

    def at_project(self, project: Project) -> None:
        """The spec, the lock, sources, the code of works, of the resolver and of the builder."""
        kept = project.kept_graph or {}
        self.files |= {str(project.place.spec), str(project.place.lock), *kept["files"]}
        self.files |= set(_builder_files())
        self.modules |= {*kept["places"], *project.fingerprints.tops}
        self.files |= project.fingerprints.files
        self.folders |= {(folder, False) for folder in project.fingerprints.folders}
        for target in project.graph:
            for source in target.sources.values():
                self._at_source(str(project.place.folder / source.path))

    def _at_source(self, path: str) -> None:
        self.files.add(path)
        for folder, _ in tree_below(path):
            self.folders.add((folder, False))
            self.files |= {os.path.join(folder, name) for name in names_in(folder, False) or ()}

    def at_store(self, project: Project, steps: Steps) -> None:
        """Every target's record, and the objects of its outputs."""
        store = str(project.place.store)
        self.files |= {f"{store}/format", f"{store}/sources.json"}
        for target, step in steps.items():
            record = step.record
            assert record is not None, f"{target} is fresh"
            self.files.add(f"{store}/actions/{record.key}.json")
            self.links.add(f"{store}/current/{file_name(target)}")
            self.objects |= {
                (f"{store}/objects/{output.sha256}", output.bytes) for output in record.outputs
            }
            if step.target.release:
                self.links.add(f"{store}/published/{file_name(target)}")
                self._at_release(project, record)
        self.links |= {f"{store}/aliases/{pin.key}" for pin in project.lock.pins.values()}

    def _at_release(self, project: Project, record: Record) -> None:
        """The copy in dist/: plain files and folders, and nothing next to them."""
        dist = project.place.dist
        for output in record.outputs:
            path = dist / output.path
            self.files.add(str(path))
            self.links.add(str(path))
        for top in top_names(record):
            self.links.add(str(dist / top))
            for folder, folders, _ in os.walk(dist / top):
                self.folders.add((folder, True))
                self.links |= {os.path.join(folder, name) for name in folders}


def _builder_files() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        path: Any = getattr(module, "__file__", None)
        if name.partition(".")[0] == "nexusbuild" and path:
            yield path
