"""Whether the store has room for what a build would put into it, by what the spec grants."""

from __future__ import annotations

from collections.abc import Iterable

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.near import near
from nexusbuild.project import Project
from nexusbuild.readable import readable_size


def lack_of_room(project: Project, running: Iterable[str]) -> BuildError | None:
    """What to say where what the store holds, and what runs by estimate, is more than is granted;
    nothing where it is not, and where nothing runs.
    """
    granted = project.graph.disk_bytes
    wanted = sum(project.graph[target].needs.disk_bytes for target in running)
    if granted is None or not wanted:
        return None
    held = project.store.held_bytes()
    if held + wanted <= granted:
        return None
    sizes = (readable_size(each) for each in (held, wanted, granted))
    return errors.store_too_small(near(project.place.store), *sizes)
