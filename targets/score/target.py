"""Declares `score:<capability>`."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from targets.budget.estimates import score_seconds, student_needs
from targets.declaring.harness_tasks import harness_fields, harness_sources
from targets.declaring.references import reference
from targets.declaring.slices import slice_of


def declare(spec: Spec, name: str) -> Target:
    """What the packed student answers with the adapter of the capability `name`."""
    declared = slice_of(spec, harness_fields(spec, name))
    dataset = spec.capabilities[name].dataset
    return Target(
        id=f"score:{name}",
        work="targets.score.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "backbone": "pack:backbone",
            "adapter": f"pack:{name}",
            "tokenizer": "tokenizer",
            "eval": reference(spec, name, "eval"),
            "description": f"dataset:{dataset}#dataset.json",
        },
        sources=harness_sources(spec, name),
        needs=student_needs(spec),
        expected_seconds=score_seconds(spec, name),
    )
