"""Declares `router`."""

from __future__ import annotations

from collections.abc import Iterable

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.budget.estimates import QUICK_SECONDS, student_needs
from targets.declaring.slices import slice_of


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
        needs=student_needs(spec),
        expected_seconds=QUICK_SECONDS,
    )
