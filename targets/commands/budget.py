"""What every target will need: memory, disk, time, by configurations alone; and what would help.

A teacher's size is what the spec says, else what its config.json or the headers of its files say.
Nothing is opened. The assumptions are those of `targets.budget`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nexusbuild.plugins import Graph, SpecFolder, Target
from opened_models.model_folder import is_model, model_folder
from specs.model import Spec
from specs.teachers import Teacher
from targets.budget.devices import BYTES_PER_PARAMETER, GIGABYTE, granted_ram
from targets.budget.estimate import Estimate
from targets.budget.needs import STREAMED_LOADS, opened_needs, streamed_bytes
from targets.budget.sizes import STORED_BYTES_PER_PARAMETER, Sizes, find_sizes
from targets.declaring.kind import Kind
from targets.resolver import graph_of
from targets.resolver.estimates import estimates, with_estimates
from targets.resolver.kinds import find_kinds


@dataclass(frozen=True)
class Limits:
    """What a build may use, in bytes; None where nobody said and nothing can be asked."""

    vram: int | None
    ram: int | None
    disk: int | None


@dataclass(frozen=True)
class Problem:
    """What of a target does not fit. kind: `vram` or `ram`. remedies: each helps alone."""

    kind: str
    says: str
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class Misfit(Problem):
    """The same problem of all the targets that have it."""

    about: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class TargetBudget:
    """Of one target. teacher: the one that it opens. disk: what the store keeps of it. problems:
    what of it does not fit.
    """

    target: str
    kind: str
    teacher: str | None
    vram: int
    ram: int
    disk: int
    seconds: float
    obstacle: str | None
    problems: tuple[Problem, ...]

    @property
    def takes(self) -> str:
        """minutes, hours or days."""
        if self.seconds < 3600:
            return "minutes"
        return "hours" if self.seconds < 86400 else "days"


@dataclass(frozen=True)
class Budget:
    """unknown: teachers whose size nothing says. fetched: bytes of models that are not here yet."""

    targets: list[TargetBudget]
    limits: Limits
    unknown: list[str]
    fetched: int
    graph: Graph

    @property
    def buildable(self) -> list[TargetBudget]:
        return [each for each in self.targets if each.obstacle is None]

    @property
    def store(self) -> int:
        """Bytes that the store comes to."""
        return sum(each.disk for each in self.buildable)


def budget_of(
    spec: Spec, spec_path: Path, lock_values: Mapping[str, Any], limits: Limits
) -> Budget:
    """Of a spec that was read from `spec_path`."""
    root = spec_path.parent
    sizes = find_sizes(
        spec, SpecFolder(root), {teacher.id: _size_of(teacher, root) for teacher in spec.teachers}
    )
    graph = graph_of(spec, spec_path, lock_values)
    kinds = find_kinds().kinds
    taken = estimates(graph.targets, kinds, sizes)
    graph = replace(graph, targets=with_estimates(graph.targets, taken))
    return Budget(
        targets=[
            _target_budget(each, kinds[each.kind], taken[each.id], sizes, limits) for each in graph
        ],
        limits=limits,
        unknown=[name for name, parameters in sizes.teachers.items() if parameters is None],
        fetched=sum(
            int((sizes.teachers[one.id] or 0) * STORED_BYTES_PER_PARAMETER)
            for one in spec.teachers
            if not _is_here(one, root)
        ),
        graph=graph,
    )


def _size_of(teacher: Teacher, root: Path) -> int | None:
    """Parameters by a look into a teacher's folder, where the spec does not say."""
    if teacher.parameters is not None or teacher.source.path is None:
        return None
    folder = root / teacher.source.path
    return model_folder(folder).parameters if is_model(folder) else None


def _is_here(teacher: Teacher, root: Path) -> bool:
    source = teacher.source
    return source.train is not None or (source.path is not None and (root / source.path).exists())


def _target_budget(
    target: Target, kind: Kind, estimate: Estimate, sizes: Sizes, limits: Limits
) -> TargetBudget:
    teacher = target.name.partition("/")[0] if kind.opens_teacher else None
    return TargetBudget(
        target=target.id,
        kind=target.kind,
        teacher=teacher,
        vram=target.needs.vram_bytes,
        ram=target.needs.ram_bytes,
        disk=target.needs.disk_bytes,
        seconds=estimate.seconds,
        obstacle=target.obstacle,
        problems=tuple(_problems(estimate, teacher, sizes, limits)),
    )


def misfits(budget: Budget) -> list[Misfit]:
    """What does not fit of what can be built, each thing once."""
    found: dict[tuple[str, Problem], list[str]] = {}
    for each in budget.buildable:
        for problem in each.problems:
            about = f"teacher {each.teacher}" if each.teacher is not None else each.target
            found.setdefault((about, problem), []).append(each.target)
    return [
        Misfit(problem.kind, problem.says, problem.remedies, about, tuple(targets))
        for (about, problem), targets in found.items()
    ]


def _problems(
    estimate: Estimate, teacher: str | None, sizes: Sizes, limits: Limits
) -> Iterator[Problem]:
    """teacher: the one that the target opens."""
    for kind, word, need, granted in (
        ("vram", "GPU memory", estimate.needs.vram_bytes, limits.vram),
        ("ram", "memory", estimate.needs.ram_bytes, limits.ram),
    ):
        if granted is not None and need > granted:
            says = f"{size(need)} of {word}, {size(granted)} granted"
            remedies: list[str] = []
            if teacher is not None:
                remedies += _teacher_remedies(sizes, teacher, granted, estimate.needs.gpu)
            elif estimate.step is not None:
                step = estimate.step
                rows = int(step.rows - (need - granted) / step.bytes_per_row)
                fitting = f"{step.field}: {rows}"
                remedies.append(fitting if rows >= 1 else "a smaller student, or shorter rows")
            remedies.append("a larger GPU" if estimate.needs.gpu else "a machine with more memory")
            yield Problem(kind, says, tuple(remedies))


def _teacher_remedies(sizes: Sizes, name: str, granted: int, gpu: bool) -> Iterator[str]:
    teacher = next(one for one in sizes.spec.teachers if one.id == name)
    hardware, parameters = sizes.spec.hardware, sizes.teachers[name] or 0
    order = list(BYTES_PER_PARAMETER)
    for load in order[order.index(teacher.load) + 1 :]:
        needs = opened_needs(hardware, parameters, load)
        need = needs.vram_bytes if gpu else needs.ram_bytes
        if need <= granted:
            yield f"load: {load} ({size(need)})"
            break
    # What is quantised is not streamed, and nothing is on a GPU.
    load = teacher.load if teacher.load in STREAMED_LOADS else "bf16"
    streamed = streamed_bytes(parameters, load)
    if streamed <= granted_ram(hardware):
        how = f"hardware.device: cpu and load: {load}" if gpu else f"load: {load}"
        yield f"{how}: streamed block by block, {size(streamed)}"


def size(number: float) -> str:
    """Bytes as a table shows them."""
    if number >= GIGABYTE:
        return f"{number / GIGABYTE:.{1 if number < 100 * GIGABYTE else 0}f}GB"
    return f"{number / 2**20:.0f}MB" if number >= 2**20 else "-" if not number else "<1MB"
