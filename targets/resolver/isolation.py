"""Isolated capabilities, enforced on the graph itself.

Nothing of an isolated capability may reach any target but its own, and those that only list what
there is: the registry and the bundle. Its teachers and its data belong to it, under whatever name
they stand in the spec a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nexusbuild.plugins import Problem, SpecFolder, Target, input_target
from specs.model import Spec
from specs.teachers import Teacher
from targets.declaring.kind import Kind, Per
from targets.declaring.pins import TOKENIZER
from targets.resolver.copies import copied_file, overlaps, same_model

Kinds = Mapping[str, Kind]


def isolation_problems(
    spec: Spec, targets: Mapping[str, Target], kinds: Kinds, folder: SpecFolder, file: str
) -> list[Problem]:
    """Every way in which an isolated capability would reach something else."""
    return [
        problem
        for name, capability in spec.capabilities.items()
        if capability.isolated and f"dataset:{capability.dataset}" in targets
        for problem in (
            *_shared_teachers(spec, targets, name, folder, file),
            *_leaks(spec, targets, kinds, name, file),
            *_shared_files(spec, targets, name, folder, file),
        )
    ]


def own_targets(spec: Spec, targets: Mapping[str, Target], kinds: Kinds, name: str) -> set[str]:
    """The targets that belong to the capability `name` alone."""
    own_names = {
        Per.DATA_SET: {spec.capabilities[name].dataset},
        Per.TEACHER: {one.id for one in _teachers_of(spec, name)},
        Per.TEACHER_AND_CAPABILITY: {f"{one.id}/{name}" for one in spec.teachers},
        Per.CAPABILITY: {name},
        Per.BUILD: set[str](),
        Per.MEDIUM: set[str](),
    }
    return {
        target.id for target in targets.values() if target.name in own_names[kinds[target.kind].per]
    }


def ways_from(
    spec: Spec, targets: Mapping[str, Target], kinds: Kinds, name: str
) -> dict[str, tuple[str, ...]]:
    """Targets made from the data, a teacher or the adapter of `name`, each with its way.

    A way is the ids from one of these to the target, both included.
    """
    begins = own_targets(spec, targets, kinds, name) | {
        target.id
        for target in targets.values()
        if kinds[target.kind].per is Per.TEACHER_AND_CAPABILITY
        and target.name.partition("/")[0] in {one.id for one in _teachers_of(spec, name)}
    }
    return _ways(targets, begins)


def _ways(targets: Mapping[str, Target], begins: set[str]) -> dict[str, tuple[str, ...]]:
    ways: dict[str, tuple[str, ...]] = {each: (each,) for each in targets if each in begins}
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


def _teachers_of(spec: Spec, name: str) -> list[Teacher]:
    """All that teach it, those that nothing can be built from yet included."""
    return [teacher for teacher in spec.teachers if name in teacher.capabilities]


def _shared_teachers(
    spec: Spec, targets: Mapping[str, Target], name: str, folder: SpecFolder, file: str
) -> Iterator[Problem]:
    """Where a teacher of the capability teaches another, under its own id or under a second one."""
    for teacher in _teachers_of(spec, name):
        for other in spec.teachers:
            taught = [each for each in other.capabilities if each != name]
            how = "" if other is teacher else same_model(folder, teacher, other)
            if not taught or how is None:
                continue
            ways = {each: _way_on(targets, other.id, each) for each in sorted(taught)}
            built = {each: way for each, way in ways.items() if way is not None}
            if built:
                who = f"{other.id}, which is {teacher.id} ({how})," if how else other.id
                names = ", ".join(f'"{each}"' for each in built)
                yield Problem(
                    message=f'"{name}" is isolated, but its teacher {who} also teaches {names}: '
                    f"{next(iter(built.values()))}",
                    file=file,
                    field=f"teachers.{other.id}.{'source' if how else 'capabilities'}",
                    remedy=f'give {names} another teacher, or drop `isolated` from "{name}"',
                )


def _way_on(targets: Mapping[str, Target], teacher: str, capability: str) -> str | None:
    """From a teacher into what others use: the backbone, else the capability's adapter."""
    trace = f"trace:{teacher}/{capability}"
    ways = _ways(targets, {trace})
    for end in ("backbone", f"adapter:{capability}"):
        if end in ways:
            return " -> ".join((f"teacher:{teacher}", *ways[end]))
    return f"teacher:{teacher} -> {trace}" if trace in targets else None


def _leaks(
    spec: Spec, targets: Mapping[str, Target], kinds: Kinds, name: str, file: str
) -> Iterator[Problem]:
    """Where something of the capability first enters a target that is not its own."""
    own = own_targets(spec, targets, kinds, name)
    # What a teacher would bring into its other capabilities is said of the teacher.
    teachers = {one.id for one in _teachers_of(spec, name) if set(one.capabilities) != {name}}
    said = {
        target.id
        for target in targets.values()
        if kinds[target.kind].per is Per.TEACHER and target.name in teachers
    }
    ways = ways_from(spec, targets, kinds, name)
    entries: dict[str, str] = {}
    for target in targets.values():
        if target.id in own or kinds[target.kind].lists_only:
            continue
        made_from = (
            source for each in target.inputs.values() if (source := input_target(each)) not in said
        )
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
            remedy=_remedy(spec, targets[id], name, pins),
        )


def _remedy(spec: Spec, target: Target, name: str, pins: Iterable[str]) -> str:
    """pins: of all that would be made from the capability."""
    taken = spec.student.tokenizer.teacher
    if target.id == TOKENIZER and taken in {each.id for each in _teachers_of(spec, name)}:
        return "name another teacher in student.tokenizer.teacher, or take `kind: bpe`"
    if target.pin is not None:
        upgrades = " ".join(f"--upgrade {pin}" for pin in pins)
        return (
            f'{target.id} was pinned with "{name}" in it; '
            f"`nexusbuild lock {upgrades}` makes it again without it"
        )
    return f'give {target.id} other inputs, or drop `isolated` from "{name}"'


def _shared_files(
    spec: Spec, targets: Mapping[str, Target], name: str, folder: SpecFolder, file: str
) -> Iterator[Problem]:
    """Other data sets that read a file of the capability's data set, by whatever path."""
    dataset = f"dataset:{spec.capabilities[name].dataset}"
    own = _places(targets[dataset], folder)
    for target in targets.values():
        if target.kind != "dataset" or target.id == dataset:
            continue
        shared = [path.name for path in _places(target, folder) if overlaps(path, own)]
        said = f"reads {shared[0]}, which is data" if shared else None
        if said is None:
            copied = copied_file(folder, _paths(target), _paths(targets[dataset]))
            said = f"reads {copied}, a copy of data" if copied else None
        if said is not None:
            yield Problem(
                message=f'{target.id} {said} of the isolated capability "{name}" ({dataset})',
                file=file,
                field=f"datasets.{target.name}.path",
                remedy="keep the files of the two data sets apart",
            )


def _paths(target: Target) -> list[str]:
    return [source.path for source in target.sources.values()]


def _places(target: Target, folder: SpecFolder) -> list[Path]:
    return [folder.real_path(path) for path in _paths(target)]
