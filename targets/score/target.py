"""Declares `score:<capability>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.declaring.answers import harness_code, harness_fields, harness_sources, reference
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import encoder_inputs, payload_inputs, reads_fields
from targets.declaring.slices import slice_of
from targets.score.estimate import estimate


def declare(spec: Spec, name: str) -> Target:
    """What the packed student answers with the adapter of the capability `name`."""
    declared = slice_of(spec, {**harness_fields(spec, name), **reads_fields(spec, name)})
    dataset = spec.capabilities[name].dataset
    return Target(
        id=f"score:{name}",
        work="targets.score.work:build",
        code=harness_code(spec, name),
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "backbone": "pack:backbone",
            "adapter": f"pack:{name}",
            "tokenizer": "tokenizer",
            "eval": reference(spec, name, "eval"),
            "description": f"dataset:{dataset}#dataset.json",
            **encoder_inputs(spec, name),
            **payload_inputs(spec, name),
        },
        sources=harness_sources(spec, name),
    )


def declare_all(context: Context) -> Iterator[Target]:
    """One for each capability."""
    for name in context.capabilities:
        yield declare(context.spec, name)


KIND = Kind(
    name="score",
    per=Per.CAPABILITY,
    declare=declare_all,
    estimate=estimate,
)
