"""Isolated capabilities, enforced on the graph itself.

Nothing of an isolated capability may reach any target but its own, the registry and the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nexusbuild.plugins import Problem, SpecFolder, Target, input_target
from specs.model import Spec

# They list what there is and ship it as a file of its own: no row or weight flows on from them.
EXEMPT = ("registry", "bundle")
OF_TEACHER = ("baseline", "profile", "trace")
CHAIN = ("architecture", "adapter", "pack", "score", "gate")


def isolation_problems(
    spec: Spec, targets: Mapping[str, Target], folder: SpecFolder, file: str
) -> list[Problem]:
    """Every way in which an isolated capability would reach something else."""
    return [
        problem
        for name, capability in spec.capabilities.items()
        if capability.isolated and f"dataset:{capability.dataset}" in targets
        for problem in (
            *_leaks(spec, targets, name, file),
            *_shared_files(spec, targets, name, folder, file),
        )
    ]


def own_targets(spec: Spec, targets: Mapping[str, Target], name: str) -> set[str]:
    """The targets that belong to the capability `name` alone."""
    teachers = [teacher.id for teacher in spec.teachers if set(teacher.capabilities) == {name}]
    own = {f"dataset:{spec.capabilities[name].dataset}"}
    own |= {f"{kind}:{name}" for kind in CHAIN}
    own |= {f"{kind}:{teacher}" for kind in ("trained_teacher", "teacher") for teacher in teachers}
    own |= {target.id for target in targets.values() if _is_of(target, OF_TEACHER, name)}
    return own


def ways_from(spec: Spec, targets: Mapping[str, Target], name: str) -> dict[str, tuple[str, ...]]:
    """Targets made from the data, a profile, a trace or the adapter of `name`, each with its way.

    A way is the ids from one of these to the target, both included.
    """
    dataset, adapter = f"dataset:{spec.capabilities[name].dataset}", f"adapter:{name}"
    ways: dict[str, tuple[str, ...]] = {
        target.id: (target.id,)
        for target in targets.values()
        if target.id in (dataset, adapter) or _is_of(target, ("profile", "trace"), name)
    }
    found = True
    while found:
        found = False
        for target in targets.values():
            if target.id in ways:
                continue
            made_from = (input_target(reference) for reference in target.inputs.values())
            tainted = next((source for source in made_from if source in ways), None)
            if tainted is not None:
                ways[target.id] = (*ways[tainted], target.id)
                found = True
    return ways


def _is_of(target: Target, kinds: tuple[str, ...], capability: str) -> bool:
    return target.kind in kinds and target.name.endswith(f"/{capability}")


def _leaks(spec: Spec, targets: Mapping[str, Target], name: str, file: str) -> Iterator[Problem]:
    """Where something of the capability first enters a target that is not its own."""
    own = own_targets(spec, targets, name)
    ways = ways_from(spec, targets, name)
    entries: dict[str, str] = {}
    for target in targets.values():
        if target.id in own or target.id in EXEMPT:
            continue
        made_from = (input_target(reference) for reference in target.inputs.values())
        entry = next((source for source in made_from if source in own and source in ways), None)
        if entry is not None:
            entries[target.id] = entry
    # All at once: while one of them is left as it is, the spec stays refused.
    pins = dict.fromkeys(pin for each in entries if (pin := targets[each].pin) is not None)
    for id, entry in entries.items():
        path = " -> ".join((*ways[entry], id))
        yield Problem(
            message=f'"{name}" is isolated, but {id} would be made from it: {path}',
            file=file,
            field=f"capabilities.{name}.isolated",
            remedy=_remedy(targets[id], name, pins),
        )


def _remedy(target: Target, name: str, pins: Iterable[str]) -> str:
    """pins: of all that would be made from the capability."""
    if target.pin is not None:
        upgrades = " ".join(f"--upgrade {pin}" for pin in pins)
        return (
            f'{target.id} was pinned with "{name}" in it; '
            f"`nexusbuild lock {upgrades}` makes it anew without"
        )
    return f'give {target.id} other inputs, or drop `isolated` from "{name}"'


def _shared_files(
    spec: Spec, targets: Mapping[str, Target], name: str, folder: SpecFolder, file: str
) -> Iterator[Problem]:
    """Other data sets that read a file of the capability's data set, by whatever path."""
    dataset = f"dataset:{spec.capabilities[name].dataset}"
    own = _files(targets[dataset], folder)
    for target in targets.values():
        if target.kind != "dataset" or target.id == dataset:
            continue
        shared = [path for path in _files(target, folder) if _overlaps(path, own)]
        if shared:
            yield Problem(
                message=f"{target.id} reads {shared[0].name}, which is data of the isolated "
                f'capability "{name}" ({dataset})',
                file=file,
                field=f"datasets.{target.name}.path",
                remedy="keep the files of the two data sets apart",
            )


def _files(target: Target, folder: SpecFolder) -> list[Path]:
    return [folder.real_path(source.path) for source in target.sources.values()]


def _overlaps(path: Path, others: list[Path]) -> bool:
    """Whether it is one of the others, or lies in one, or holds one."""
    return any(path == other or path in other.parents or other in path.parents for other in others)
