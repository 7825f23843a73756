"""Isolated capabilities, enforced on the graph itself.

Nothing of an isolated capability may reach any target but its own, the registry and the bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nexusbuild.graph import Problem, Target, input_target
from specs.model import Spec

# Lists what there is, and ships it as a file of its own: reads no weight and no row.
EXEMPT = ("registry", "bundle")


def isolation_problems(spec: Spec, targets: Mapping[str, Target], file: str) -> list[Problem]:
    """Every way in which an isolated capability would reach something else."""
    problems: list[Problem] = []
    for name, capability in spec.capabilities.items():
        if capability.isolated and f"dataset:{capability.dataset}" in targets:
            problems += _leaks(spec, targets, name, file)
            problems += _shared_files(targets, name, f"dataset:{capability.dataset}", file)
    return problems


def _leaks(spec: Spec, targets: Mapping[str, Target], name: str, file: str) -> Iterator[Problem]:
    own = own_targets(spec, targets, name)
    way = _ways_from(spec, targets, name)
    for target in targets.values():
        if target.id in own or target.id in EXEMPT:
            continue
        for reference in target.inputs.values():
            source = input_target(reference)
            if source in way and source in own:
                path = " -> ".join([*way[source], target.id])
                remedy = _remedy(target, name)
                message = f'"{name}" is isolated, but {target.id} would be made from it: {path}'
                yield Problem(message, file, field=f"capabilities.{name}.isolated", remedy=remedy)
                break


def own_targets(spec: Spec, targets: Mapping[str, Target], name: str) -> set[str]:
    """The targets that belong to the capability `name` alone."""
    teachers = [teacher.id for teacher in spec.teachers if set(teacher.capabilities) == {name}]
    own = {f"dataset:{spec.capabilities[name].dataset}"}
    own |= {f"{kind}:{name}" for kind in ("architecture", "adapter", "pack", "score", "gate")}
    own |= {f"{kind}:{teacher}" for kind in ("trained_teacher", "teacher") for teacher in teachers}
    own |= {
        target.id
        for target in targets.values()
        if target.kind in ("baseline", "profile", "trace") and target.name.endswith(f"/{name}")
    }
    return own


def _ways_from(spec: Spec, targets: Mapping[str, Target], name: str) -> dict[str, tuple[str, ...]]:
    """Every target that is made from the capability's data, profiles, traces or adapter: how."""
    way: dict[str, tuple[str, ...]] = {}
    for target in targets.values():
        of_capability = target.kind in ("profile", "trace") and target.name.endswith(f"/{name}")
        if of_capability or target.id in (
            f"dataset:{spec.capabilities[name].dataset}",
            f"adapter:{name}",
        ):
            way[target.id] = (target.id,)
    changed = True
    while changed:
        changed = False
        for target in targets.values():
            if target.id in way:
                continue
            for reference in target.inputs.values():
                if input_target(reference) in way:
                    way[target.id] = (*way[input_target(reference)], target.id)
                    changed = True
                    break
    return way


def _remedy(target: Target, name: str) -> str:
    if target.pin is not None:
        return (
            f"{target.id} was pinned before; `nexusbuild lock --upgrade {target.pin}` "
            f'makes it anew without "{name}"'
        )
    return f'give {target.id} other inputs, or drop `isolated` from "{name}"'


def _shared_files(
    targets: Mapping[str, Target], name: str, dataset: str, file: str
) -> Iterator[Problem]:
    own = [Path(source.path).resolve() for source in targets[dataset].sources.values()]
    for target in targets.values():
        if target.kind != "dataset" or target.id == dataset:
            continue
        for source in target.sources.values():
            path = Path(source.path).resolve()
            if any(path == mine or path in mine.parents or mine in path.parents for mine in own):
                yield Problem(
                    message=f"{target.id} reads {path.name}, which is data of the isolated "
                    f'capability "{name}" ({dataset})',
                    file=file,
                    field=f"datasets.{target.name}.path",
                    remedy="keep the files of the two data sets apart",
                )
                break
