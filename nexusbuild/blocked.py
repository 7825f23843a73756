"""Which targets wait for a source that is missing: for domain commands, which know no plan."""

from __future__ import annotations

from pathlib import Path

from nexusbuild.project import Project, find_place
from nexusbuild.rule.plan import planned


def blocked_targets(spec: Path) -> set[str]:
    """Targets of this spec that must be built and cannot, by the store beside it."""
    steps = planned(Project(find_place(str(spec))).world())
    return {target for target, step in steps.items() if step.state == "blocked"}
