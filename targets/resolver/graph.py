"""From a spec and its lock to the graph: the one place where the pipeline's shape stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import specs
from nexusbuild.plugins import Graph, ResolveError, Seen, SpecFolder, Target
from specs.loading import shown_path
from specs.model import Spec
from specs.names import family_traits, read_files
from targets.budget.sizes import find_sizes
from targets.declaring.kind import Context, Kind
from targets.declaring.pins import Pins, pins_of
from targets.resolver.declared_only import declared_only_notes, declared_only_targets
from targets.resolver.estimates import estimates, with_estimates
from targets.resolver.isolation import isolation_problems
from targets.resolver.kinds import find_kinds, targets_of
from targets.resolver.order import in_order
from targets.resolver.problems import as_resolve_error, init_problems


def resolve(spec_path: Path, lock_values: Mapping[str, Any]) -> Graph:
    """All targets of a spec. Raises ResolveError with every problem found."""
    try:
        spec = specs.load(spec_path)
    except specs.SpecError as error:
        raise as_resolve_error(error) from None
    return graph_of(spec, spec_path, lock_values)


def graph_of(spec: Spec, spec_path: Path, lock_values: Mapping[str, Any]) -> Graph:
    """All targets of a spec that was read from `spec_path`. Raises as `resolve`."""
    found = find_kinds()
    pins = pins_of(spec, lock_values)
    folder = SpecFolder(spec_path.parent)
    context = whole_context(spec, folder, pins)
    targets = declared_targets(found.kinds, context)
    targets |= declared_only_targets(found.kinds, context, targets)
    file = shown_path(spec_path)
    problems = [
        *isolation_problems(spec, targets, found.kinds, folder, file),
        *init_problems(spec, folder, file),
    ]
    if problems:
        raise ResolveError(problems)
    taken = estimates(targets, found.kinds, find_sizes(spec, folder))
    return Graph(
        targets=with_estimates(targets, taken),
        preload=preloaded_modules(spec),
        lock_values=pins.lock_values,
        ram_bytes=spec.hardware.ram,
        vram_bytes=spec.hardware.vram,
        disk_bytes=spec.hardware.disk,
        notes=(*pins.notes, *declared_only_notes(spec), *_unused_names(spec, targets)),
        seen=(*found.seen, *folder.seen, *_seen_of_names()),
    )


def whole_context(spec: Spec, folder: SpecFolder, pins: Pins) -> Context:
    """All that can be built of a spec that lies in `folder`."""
    used = {spec.capabilities[name].dataset for name in spec.served_capabilities()}
    return Context(
        spec=spec,
        folder=folder,
        pins=pins,
        data_sets=tuple(sorted(used | set(pins.tokenizer_datasets))),
        taught=tuple(
            (teacher, name)
            for teacher in spec.teachers
            for name in sorted(teacher.capabilities)
            if not spec.untrainable(teacher, name)
        ),
    )


def declared_targets(kinds: Mapping[str, Kind], context: Context) -> dict[str, Target]:
    """What all kinds declare, each target after its inputs."""
    declared = [target for kind in kinds.values() for target in targets_of(kind, context)]
    return {target.id: target for target in in_order(declared, kinds, context.spec)}


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
        *(family_traits(family).preload for family in sorted(families)),
        "safetensors.torch",
        "tokenizers",
        "peft",
        "sklearn.linear_model",
        *(["bitsandbytes"] if quantised else []),
    )


def _seen_of_names() -> Iterator[Seen]:
    """Modules that the spec's names and what it must know of them were read from."""
    for folder, pattern in read_files():
        seen = SpecFolder(folder)
        seen.digests(pattern)
        yield from seen.seen


def _unused_names(spec: Spec, targets: Mapping[str, Target]) -> list[str]:
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
