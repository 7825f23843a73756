"""What a build of some targets would do: the plan, cut down to what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nexusbuild.project import Project
from nexusbuild.rule.closure import closure
from nexusbuild.rule.plan import Steps, World, planned


@dataclass(frozen=True)
class Proposal:
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


def proposed(project: Project, selected: Sequence[str], forced: Sequence[str] = ()) -> Proposal:
    """selected, forced: ids; what is forced is looked at, too."""
    looked_at = [*selected, *forced]
    world = project.world(forced)
    steps = planned(world, project.to_publish(looked_at))
    return Proposal(world, steps, closure(world, steps, looked_at))
