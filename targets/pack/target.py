"""Declares `pack:backbone`, `pack:<capability>` and `pack:router`."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.budget.estimates import QUICK_SECONDS, quick_needs, student_needs
from targets.declaring.slices import slice_of
from targets.pins import BACKBONE


def declare_backbone(spec: Spec) -> Target:
    """The backbone as it ships; everything after it is trained and measured against this."""
    declared = slice_of(spec, {"quantize": (spec.bundle.quantize, "bundle.quantize")})
    return Target(
        id="pack:backbone",
        work="targets.pack.work:build_backbone",
        settings=declared.settings,
        origins=declared.origins,
        inputs={"backbone": "backbone"},
        needs=student_needs(spec),
        pin=BACKBONE,
        expected_seconds=QUICK_SECONDS,
    )


def declare_adapter(spec: Spec, name: str) -> Target:
    """The adapter of the capability `name` as it ships."""
    declared = slice_of(spec)
    return Target(
        id=f"pack:{name}",
        work="targets.pack.work:build_adapter",
        settings=declared.settings,
        origins=declared.origins,
        inputs={"adapter": f"adapter:{name}", "backbone": "pack:backbone#config.json"},
        needs=student_needs(spec),
        expected_seconds=QUICK_SECONDS,
    )


def declare_router(spec: Spec) -> Target:
    """The router as it ships."""
    declared = slice_of(spec)
    return Target(
        id=f"pack:{ROUTER}",
        work="targets.pack.work:build_router",
        settings=declared.settings,
        origins=declared.origins,
        inputs={"router": ROUTER},
        needs=quick_needs(),
        expected_seconds=QUICK_SECONDS,
    )
