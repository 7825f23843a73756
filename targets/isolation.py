"""Isolated capabilities, enforced on the graph itself.

Nothing of an isolated capability may reach any target but its own, the registry and the bundle. Its
teachers and its data belong to it, under whatever name they stand in the spec a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nexusbuild.graph import Problem, SpecFolder, Target, input_target
from specs.model import Spec
from specs.teachers import Teacher
from targets.copies import copied_file, overlaps, same_model
from targets.pins import TOKENIZER

# They list what there is and ship it as a file of its own: no row or weight flows on from them.
EXEMPT = ("registry", "bundle")
OPENED = ("trained_teacher", "teacher")
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
            *_shared_teachers(spec, targets, name, folder, file),
            *_leaks(spec, targets, name, file),
            *_shared_files(spec, targets, name, folder, file),
        )
    ]


def own_targets(spec: Spec, targets: Mapping[str, Target], name: str) -> set[str]:
    """The targets that belong to the capability `name` alone."""
    own = {f"dataset:{spec.capabilities[name].dataset}"}
    own |= {f"{kind}:{name}" for kind in CHAIN}
    own |= {f"{kind}:{one.id}" for kind in OPENED for one in _teachers_of(spec, name)}
    own |= {target.id for target in targets.values() if _is_of(target, OF_TEACHER, name)}
    return own


def ways_from(spec: Spec, targets: Mapping[str, Target], name: str) -> dict[str, tuple[str, ...]]:
    """Targets made from the data, a teacher or the adapter of `name`, each with its way.

    A way is the ids from one of these to the target, both included.
    """
    begins = {f"dataset:{spec.capabilities[name].dataset}", f"adapter:{name}"}
    for teacher in _teachers_of(spec, name):
        begins |= {f"{kind}:{teacher.id}" for kind in OPENED}
        begins |= {
            f"{kind}:{teacher.id}/{each}" for kind in OF_TEACHER for each in spec.capabilities
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


def _is_of(target: Target, kinds: tuple[str, ...], capability: str) -> bool:
    return target.kind in kinds and target.name.endswith(f"/{capability}")


def _leaks(spec: Spec, targets: Mapping[str, Target], name: str, file: str) -> Iterator[Problem]:
    """Where something of the capability first enters a target that is not its own."""
    own = own_targets(spec, targets, name)
    # What a teacher would bring into its other capabilities is said of the teacher.
    teachers = {one.id for one in _teachers_of(spec, name) if set(one.capabilities) != {name}}
    said = {f"{kind}:{teacher}" for kind in OPENED for teacher in teachers}
    ways = ways_from(spec, targets, name)
    entries: dict[str, str] = {}
    for target in targets.values():
        if target.id in own or target.id in EXEMPT:
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
            f"`nexusbuild lock {upgrades}` makes it anew without"
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
