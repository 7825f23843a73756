"""What the store keeps of each target, roughly, by configurations alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from targets.budget import estimates

UNKNOWN_PARAMETERS = 1_000_000


def with_disk_needs(
    spec: Spec, folder: SpecFolder, targets: Mapping[str, Target]
) -> dict[str, Target]:
    """The targets of a spec that lies in `folder`, each with what the store will keep of it."""
    teachers = tuple(
        teacher.model_copy(update={"parameters": estimates.teacher_parameters(folder, teacher)})
        for teacher in spec.teachers
    )
    sized = spec.model_copy(update={"teachers": teachers})
    return {
        name: replace(
            target, needs=replace(target.needs, disk_bytes=int(stored_bytes(sized, target)))
        )
        for name, target in targets.items()
    }


def stored_bytes(spec: Spec, target: Target) -> float:
    """What the store keeps of a target, roughly. spec: with the sizes of its teachers."""
    teacher, _, capability = target.name.partition("/")
    student = estimates.student_parameters(spec)
    if target.kind == "dataset":
        rows = estimates.volume(spec.datasets[target.name])
        return (rows.train + rows.validation + rows.eval + rows.pilot) * (200 + 5 * rows.tokens)
    if target.kind in ("baseline", "trace"):
        rows = estimates.volume(spec.datasets[spec.capabilities[capability].dataset])
        if target.kind == "baseline":
            return (rows.validation + rows.eval) * (200 + 12 * rows.answer)
        # Twelve log-probabilities with packed indices, and the row itself.
        top = spec.capabilities[capability].trace.top_k
        return rows.train * (200 + rows.answer * (5 * top + 8))
    if target.kind == "profile":
        size_of = _size(spec, teacher)
        width = (size_of / (12 * estimates.layers_of(size_of))) ** 0.5
        # A third of the blocks is key; each keeps a basis of a quarter of the width.
        return float(estimates.layers_of(size_of) / 3 * width * width / 4 * 4)
    packed = {"none": 4.0, "int8": 1.1, "nf4": 0.6}[spec.bundle.quantize]
    match target.kind:
        case "trained_teacher":
            return 4.0 * _size(spec, target.name)
        case "backbone":
            return 4.0 * student
        case "pack" if target.name == "backbone":
            return packed * student
        case "adapter" | "pack":
            return 4.0 * _adapter_parameters(spec)
        case "score":
            rows = estimates.volume(spec.datasets[spec.capabilities[target.name].dataset])
            return rows.eval * (200 + 12 * rows.answer)
        case "bundle":
            shipped = len(spec.included_capabilities())
            return packed * student + 4.0 * shipped * _adapter_parameters(spec)
        case "teacher":
            return 10e6  # its tokenizer
    return 20e3


def _adapter_parameters(spec: Spec) -> float:
    """Of LoRA on every linear layer: the rank times the widths on both sides."""
    student = estimates.student_parameters(spec)
    backbone = spec.student.backbone
    hidden = estimates.AUTO_HIDDEN if backbone.hidden == "auto" else backbone.hidden
    return 2.4 * spec.student.training.rank * student / hidden


def _size(spec: Spec, teacher: str) -> int:
    parameters = next(one.parameters for one in spec.teachers if one.id == teacher)
    return parameters or UNKNOWN_PARAMETERS
