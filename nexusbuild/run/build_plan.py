"""What a build of some targets would do: the plan, cut down to these and their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.project import Project
from nexusbuild.readable import display_path, readable_size
from nexusbuild.rule.plan import Steps, World, make_plan, with_inputs


@dataclass(frozen=True)
class BuildPlan:
    """targets: what is looked at, in topological order.

    steps: of the whole graph; a build replaces them as it learns more.
    """

    world: World
    steps: Steps
    targets: Sequence[str]

    @property
    def running(self) -> list[str]:
        """What will run, or may."""
        return [target for target in self.targets if self.steps[target].runs]


def plan_build(project: Project, selected: Sequence[str], forced: Sequence[str] = ()) -> BuildPlan:
    """selected, forced: ids; what is forced is looked at, too."""
    looked_at = [*selected, *forced]
    world = project.world(forced)
    steps = make_plan(world, project.to_publish(looked_at))
    return BuildPlan(world, steps, with_inputs(world, steps, looked_at))


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
    return errors.store_too_small(display_path(project.place.store), *sizes)
