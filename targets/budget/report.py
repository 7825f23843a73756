"""What every target will need: memory, disk, time, by configurations alone; and what would help.

A teacher's size is what the spec says, else what its config.json or the headers of its files say.
Nothing is opened. The assumptions are those of `targets.budget.estimates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexusbuild.plugins import Graph, Target
from opened_models.model_folder import is_model, model_folder
from specs.model import Spec
from specs.teachers import Teacher
from targets.budget import estimates
from targets.budget.estimates import GIGABYTE
from targets.resolver import graph_of

OPENED = ("teacher", "baseline", "profile", "trace")


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
class Estimate:
    """Of one target. disk: what the store keeps of it. problems: what of it does not fit."""

    target: str
    kind: str
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

    estimates: list[Estimate]
    limits: Limits
    unknown: list[str]
    fetched: int
    graph: Graph

    @property
    def buildable(self) -> list[Estimate]:
        return [each for each in self.estimates if each.obstacle is None]

    @property
    def store(self) -> int:
        """Bytes that the store comes to."""
        return sum(each.disk for each in self.buildable)


def budget_of(
    spec: Spec, spec_path: Path, lock_values: Mapping[str, Any], limits: Limits
) -> Budget:
    """Of a spec that was read from `spec_path`."""
    root = spec_path.parent
    known = spec.model_copy(
        update={"teachers": tuple(with_size(teacher, root) for teacher in spec.teachers)}
    )
    graph = graph_of(known, spec_path, lock_values)
    teachers = {teacher.id: teacher for teacher in known.teachers}
    return Budget(
        estimates=[_estimate(known, target, limits) for target in graph],
        limits=limits,
        unknown=[name for name, one in teachers.items() if _size(one) is None],
        fetched=sum(
            int((_size(one) or 0) * estimates.STORED_BYTES_PER_PARAMETER)
            for one in teachers.values()
            if not _is_here(one, root)
        ),
        graph=graph,
    )


def with_size(teacher: Teacher, root: Path) -> Teacher:
    """The teacher with its size, where its folder says it."""
    if teacher.parameters is not None or teacher.source.path is None:
        return teacher
    folder = root / teacher.source.path
    parameters = model_folder(folder).parameters if is_model(folder) else None
    return teacher.model_copy(update={"parameters": parameters})


def _size(teacher: Teacher) -> int | None:
    if teacher.source.train is not None:
        return estimates.trained_parameters(teacher.source.train)
    return teacher.parameters


def _is_here(teacher: Teacher, root: Path) -> bool:
    source = teacher.source
    return source.train is not None or (source.path is not None and (root / source.path).exists())


def _estimate(spec: Spec, target: Target, limits: Limits) -> Estimate:
    return Estimate(
        target=target.id,
        kind=target.kind,
        vram=target.needs.vram_bytes,
        ram=target.needs.ram_bytes,
        disk=target.needs.disk_bytes,
        seconds=target.expected_seconds or estimates.QUICK_SECONDS,
        obstacle=target.obstacle,
        problems=tuple(_problems(spec, target, limits)),
    )


def misfits(budget: Budget) -> list[Misfit]:
    """What does not fit of what can be built, each thing once."""
    found: dict[tuple[str, Problem], list[str]] = {}
    for each in budget.buildable:
        for problem in each.problems:
            teacher = each.target.partition(":")[2].partition("/")[0]
            about = f"teacher {teacher}" if each.kind in OPENED else each.target
            found.setdefault((about, problem), []).append(each.target)
    return [
        Misfit(problem.kind, problem.says, problem.remedies, about, tuple(targets))
        for (about, problem), targets in found.items()
    ]


def _problems(spec: Spec, target: Target, limits: Limits) -> Iterator[Problem]:
    for kind, word, need, granted in (
        ("vram", "GPU memory", target.needs.vram_bytes, limits.vram),
        ("ram", "memory", target.needs.ram_bytes, limits.ram),
    ):
        if granted is not None and need > granted:
            says = f"{size(need)} of {word}, {size(granted)} granted"
            yield Problem(kind, says, tuple(_remedies(spec, target, need, granted)))


def _remedies(spec: Spec, target: Target, need: int, granted: int) -> Iterator[str]:
    if target.kind in OPENED:
        yield from _teacher_remedies(spec, target, granted)
    elif target.kind in ("backbone", "adapter"):
        rows = spec.student.backbone.batch
        names, path = estimates.backbone_datasets(spec), "student.backbone.batch"
        if target.kind == "adapter":
            rows = spec.training_of(target.name).batch
            names = [spec.capabilities[target.name].dataset]
            path = f"capabilities.{target.name}.training.batch"
        row = estimates.kept_bytes_per_row(spec, names)
        fitting = int(rows - (need - granted) / row)
        yield f"{path}: {fitting}" if fitting >= 1 else "a smaller student, or shorter rows"
    yield "a larger GPU" if target.needs.gpu else "a machine with more memory"


def _teacher_remedies(spec: Spec, target: Target, granted: int) -> Iterator[str]:
    teacher = next(one for one in spec.teachers if one.id == target.name.partition("/")[0])
    parameters = _size(teacher) or 0
    order = list(estimates.BYTES_PER_PARAMETER)
    for load in order[order.index(teacher.load) + 1 :]:
        needs = estimates.opened_needs(spec.hardware, parameters, load)
        need = needs.vram_bytes if target.needs.gpu else needs.ram_bytes
        if need <= granted:
            yield f"load: {load} ({size(need)})"
            break
    # What is quantised is not streamed, and nothing is on a GPU.
    load = teacher.load if teacher.load in estimates.STREAMED_LOADS else "bf16"
    streamed = estimates.streamed_bytes(parameters, load)
    if streamed <= estimates.granted_ram(spec.hardware):
        how = f"hardware.device: cpu and load: {load}" if target.needs.gpu else f"load: {load}"
        yield f"{how}: streamed block by block, {size(streamed)}"


def size(number: float) -> str:
    """Bytes as a table shows them."""
    if number >= GIGABYTE:
        return f"{number / GIGABYTE:.{1 if number < 100 * GIGABYTE else 0}f}GB"
    return f"{number / 2**20:.0f}MB" if number >= 2**20 else "-" if not number else "<1MB"
