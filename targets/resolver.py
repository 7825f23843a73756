"""From a spec and its lock to the graph: the one place where the pipeline's shape stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import specs
from nexusbuild.plugins import Graph, ResolveError, SpecFolder, Target
from specs.loading import shown_path
from specs.model import Spec
from targets.adapter import target as adapter
from targets.architecture import target as architecture
from targets.backbone import target as backbone
from targets.baseline import target as baseline
from targets.budget.disk import with_disk_needs
from targets.budget.estimates import with_size_of_init
from targets.bundle import target as bundle
from targets.dataset import target as dataset
from targets.declared_only import declared_only_notes, declared_only_targets
from targets.gate import target as gate
from targets.isolation import isolation_problems
from targets.pack import target as pack
from targets.pins import Pins, pins_of
from targets.problems import as_resolve_error
from targets.profile import target as profile
from targets.registry import target as registry
from targets.router import target as router
from targets.score import target as score
from targets.teacher import target as teacher
from targets.tokenizer import target as tokenizer
from targets.trace import target as trace
from targets.trained_teacher import target as trained_teacher

MODELLING = "transformers.models.{family}.modeling_{family}"


def resolve(spec_path: Path, lock_values: Mapping[str, Any]) -> Graph:
    """All targets of a spec. Raises ResolveError with every problem found."""
    try:
        spec = specs.load(spec_path)
    except specs.SpecError as error:
        raise as_resolve_error(error) from None
    return graph_of(spec, spec_path, lock_values)


def graph_of(spec: Spec, spec_path: Path, lock_values: Mapping[str, Any]) -> Graph:
    """All targets of a spec that was read from `spec_path`. Raises as `resolve`."""
    pins = pins_of(spec, lock_values)
    folder = SpecFolder(spec_path.parent)
    targets = {target.id: target for target in declared_targets(spec, folder, pins)}
    sized = with_size_of_init(spec, folder)
    if sized is not spec:
        targets |= {
            each.id: replace(
                targets[each.id], needs=each.needs, expected_seconds=each.expected_seconds
            )
            for each in declared_targets(sized, folder, pins)
        }
    targets |= {target.id: target for target in declared_only_targets(spec, folder, targets)}
    file = shown_path(spec_path)
    problems = [
        *isolation_problems(spec, targets, folder, file),
        *backbone.init_problems(spec, folder, file),
    ]
    if problems:
        raise ResolveError(problems)
    return Graph(
        targets=with_disk_needs(sized, folder, targets),
        preload=preloaded_modules(spec),
        lock_values=pins.lock_values,
        ram_bytes=spec.hardware.ram,
        vram_bytes=spec.hardware.vram,
        disk_bytes=spec.hardware.disk,
        notes=(*pins.notes, *declared_only_notes(spec), *_unused(spec, targets)),
        seen=folder.seen,
    )


def declared_targets(spec: Spec, folder: SpecFolder, pins: Pins) -> Iterator[Target]:
    """Every target of a spec that lies in `folder`, each after its inputs' kinds."""
    served = spec.served_capabilities()
    routed = [name for name in spec.included_capabilities() if not spec.capabilities[name].isolated]
    used = {spec.capabilities[name].dataset for name in served} | set(pins.tokenizer_datasets)

    for name in sorted(used):
        yield dataset.declare(spec, folder, name)
    for one in spec.teachers:
        if one.source.train is not None:
            yield trained_teacher.declare(spec, one, one.source.train)
        learned = [name for name in sorted(one.capabilities) if not spec.untrainable(one, name)]
        if learned:
            yield teacher.declare(spec, folder, one)
        for name in learned:
            yield baseline.declare(spec, folder, one, name)
            yield profile.declare(spec, folder, one, name)
            yield trace.declare(spec, folder, one, name)
    yield registry.declare(spec)

    yield tokenizer.declare(spec, pins.tokenizer_datasets)
    yield architecture.declare_backbone(spec, pins.backbone_parts)
    yield backbone.declare(spec, pins.backbone_parts)
    yield pack.declare_backbone(spec)

    for name in served:
        yield architecture.declare_adapter(spec, name)
        yield adapter.declare(spec, name)
        yield pack.declare_adapter(spec, name)
        yield score.declare(spec, name)
        yield gate.declare_capability(spec, name)

    yield router.declare(spec, routed)
    yield pack.declare_router(spec)
    yield gate.declare_router(spec, routed)
    yield bundle.declare(spec)


def preloaded_modules(spec: Spec) -> tuple[str, ...]:
    """What the children of a build would else import one by one."""
    families: set[str] = {spec.student.backbone.family}
    families |= {one.source.train.family for one in spec.teachers if one.source.train}
    quantised = spec.bundle.quantize != "none"
    quantised |= any(one.load in ("int8", "nf4") for one in spec.teachers)
    return (
        "torch",
        "transformers",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        *(MODELLING.format(family=family) for family in sorted(families)),
        "safetensors.torch",
        "tokenizers",
        "peft",
        "sklearn.linear_model",
        *(["bitsandbytes"] if quantised else []),
    )


def _unused(spec: Spec, targets: Mapping[str, Target]) -> list[str]:
    notes = [
        f"data set {name} is declared, but no capability uses it"
        for name in sorted(spec.datasets)
        if f"dataset:{name}" not in targets
    ]
    served = spec.served_capabilities()
    notes += [
        f"capability {name} is declared, but no teacher serves it: nothing is built for it"
        for name in sorted(spec.capabilities)
        if name not in served and not any(name in one.capabilities for one in spec.teachers)
    ]
    return notes
