"""Declares `router`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.slices import slice_of
from targets.router.estimate import estimate


def declare(spec: Spec, routed: Iterable[str]) -> Target:
    """Trained on the prompts of the capabilities that it may choose from."""
    declared = slice_of(spec)
    inputs = {"backbone": "pack:backbone", "tokenizer": "tokenizer"}
    for name in routed:
        dataset = f"dataset:{spec.capabilities[name].dataset}"
        inputs[f"train/{name}"] = f"{dataset}#train.jsonl"
        inputs[f"validation/{name}"] = f"{dataset}#validation.jsonl"
    return Target(
        id=ROUTER,
        work="targets.router.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs=inputs,
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The one of a build."""
    yield declare(context.spec, context.routed)


KIND = Kind(
    name="router",
    per=Per.BUILD,
    declare=declare_all,
    estimate=estimate,
)
