"""What is worth knowing about a plan and makes nothing stale."""

from __future__ import annotations

from collections.abc import Sequence

from nexusbuild.digest.host import changed_libraries
from nexusbuild.project import Project
from nexusbuild.readable import display_path, pluralize
from nexusbuild.rule.plan import Steps, World


def plan_notes(project: Project, world: World, steps: Steps, targets: Sequence[str]) -> list[str]:
    """The graph's own notes, then those on pins, sources, the store, libraries and dist/."""
    notes = list(project.graph.notes)
    for target in targets:
        notes.extend(steps[target].notes)
    notes.extend(damaged_records(project, targets))
    notes.extend(_missing_sources(world, steps, targets))
    notes.extend(_gone_objects(project, steps, targets))
    notes.extend(_other_libraries(steps, targets))
    for target in sorted(project.to_publish(targets)):
        if steps[target].record is not None:
            notes.append(
                f"{display_path(project.place.dist)} does not hold {target} as it was released; "
                "a build puts it there again"
            )
    return notes


def damaged_records(project: Project, targets: Sequence[str]) -> list[str]:
    """A line for each record that cannot be used: those of the targets, and others met so far."""
    current = {project.store.current(target): target for target in targets}
    current.pop(None, None)
    gone = {key for key, target in current.items() if project.result(target) is None}
    damage = project.store.damage()
    lines = [
        f"the record of {current[key]} is gone; it is treated as not built"
        for key in sorted(gone - damage.keys(), key=lambda key: current[key])
    ]
    for key, why in sorted(damage.items()):
        of_target = f" of {current[key]}" if key in current else ""
        lines.append(
            f"the record {key[:12]}{of_target} is damaged: {why}; it is treated as not built"
        )
    return lines


def _missing_sources(world: World, steps: Steps, targets: Sequence[str]) -> list[str]:
    users: dict[str, list[str]] = {}
    for target in targets:
        if steps[target].state in ("fresh", "cached"):
            for _, source in world.today.missing(target):
                users.setdefault(source.path, []).append(target)
    return [
        f"{display_path(path)} is missing; "
        + (
            f"{names[0]} has its result and needs it no more"
            if len(names) == 1
            else f"{_some(names)} have their results and need it no more"
        )
        for path, names in sorted(users.items())
    ]


def _gone_objects(project: Project, steps: Steps, targets: Sequence[str]) -> list[str]:
    gone = []
    for target in targets:
        step = steps[target]
        if step.state not in ("fresh", "cached") or step.record is None:
            continue
        if project.store.missing(step.record.outputs):
            gone.append(target)
    if not gone:
        return []
    return [f"files of {_some(gone)} are gone from the store; they are made again when needed"]


def _other_libraries(steps: Steps, targets: Sequence[str]) -> list[str]:
    found: dict[tuple[str, str, str], int] = {}
    for target in targets:
        record = steps[target].record
        libraries = record.provenance.get("libraries", {}) if record is not None else {}
        for name, (then, now) in changed_libraries(libraries).items():
            found[name, then, now] = found.get((name, then, now), 0) + 1
    return [
        f"{name} is {now}; {pluralize(count, 'result')} made with {then}"
        for (name, then, now), count in sorted(found.items())
    ]


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"
