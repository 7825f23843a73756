"""Declares `pack:backbone`, `pack:<capability>`, `pack:router` and `pack:encoder/<medium>`."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.pins import BACKBONE, encoder_group
from targets.declaring.slices import slice_of
from targets.pack.estimate import estimate


def declare_backbone(spec: Spec) -> Target:
    """The backbone as it ships; everything after it is trained and measured against this."""
    declared = slice_of(spec, {"quantize": (spec.bundle.quantize, "bundle.quantize")})
    return Target(
        id="pack:backbone",
        work="targets.pack.work:build_backbone",
        settings=declared.settings,
        origins=declared.origins,
        inputs={"backbone": "backbone"},
        pin=BACKBONE,
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
    )


def declare_encoder(spec: Spec, medium: str) -> Target:
    """The encoder of a medium as it ships; adapters are trained and measured against this."""
    declared = slice_of(spec)
    return Target(
        id=f"pack:encoder/{medium}",
        work="targets.pack.encoders:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs={"encoder": f"encoder:{medium}"},
        pin=encoder_group(medium),
    )


def declare_all(context: Context) -> Iterator[Target]:
    """The backbone's, each adapter's, the router's, and each encoder's."""
    yield declare_backbone(context.spec)
    for name in context.capabilities:
        yield declare_adapter(context.spec, name)
    yield declare_router(context.spec)
    for medium in context.spec.media():
        yield declare_encoder(context.spec, medium)


KIND = Kind(
    name="pack",
    per=Per.CAPABILITY,
    declare=declare_all,
    estimate=estimate,
)
