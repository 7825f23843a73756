"""Declares `bundle`, the release."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.bundle.estimate import estimate
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import encoder_inputs
from targets.declaring.slices import Field, Slice, listed_capabilities, slice_of, with_origins
from targets.gate.target import contract_fields, router_contract_fields


def declare(spec: Spec) -> Target:
    """Everything that ships, with the verdicts on it; released only if all of them pass."""
    included = spec.included_capabilities()
    declared = _slice(spec, included)
    teachers = {teacher.id for name in included for teacher in spec.teachers_of(name)}
    served = spec.served_capabilities()
    others = {teacher.id for name in served for teacher in spec.teachers_of(name)} - teachers
    datasets = {spec.capabilities[name].dataset for name in included}
    inputs = {
        "backbone": "pack:backbone",
        "tokenizer": "tokenizer",
        "router": f"pack:{ROUTER}",
        "registry": "registry",
        f"gate/{ROUTER}": f"gate:{ROUTER}",
    }
    for name in included:
        inputs[f"adapter/{name}"] = f"pack:{name}"
        inputs[f"gate/{name}"] = f"gate:{name}"
        inputs[f"confinement/{name}"] = f"score:{name}#confinement.json"
        inputs |= encoder_inputs(spec, name)
    inputs |= {f"description/{name}": f"dataset:{name}#dataset.json" for name in sorted(datasets)}
    inputs |= {f"about/{name}": f"dataset:{name}#about.json" for name in sorted(datasets)}
    inputs |= {f"teacher/{name}": f"teacher:{name}" for name in sorted(teachers)}
    # No weight of these may ship either, though nothing that they teach does.
    inputs |= {f"tensors/{name}": f"teacher:{name}" for name in sorted(others)}
    return Target(
        id="bundle",
        work="targets.bundle.work:build",
        settings=declared.settings,
        origins=declared.origins,
        inputs=inputs,
        release=True,
    )


def _slice(spec: Spec, included: tuple[str, ...]) -> Slice:
    isolated = [name for name in included if spec.capabilities[name].isolated]
    capabilities, origins = listed_capabilities(spec, included)
    for name in included:
        if media := spec.capabilities[name].media:
            capabilities[name]["reads"] = list(media)
            origins[f"capabilities.{name}.reads"] = f"capabilities.{name}.reads"
    contracts: dict[str, dict[str, Field]] = {
        name: contract_fields(spec, name) for name in included
    }
    contracts[ROUTER] = router_contract_fields(spec)
    values = {
        name: {key: value for key, (value, _) in fields.items()}
        for name, fields in contracts.items()
    }
    declared = slice_of(
        spec,
        {
            "name": (spec.name, "name"),
            "include": (list(included), "bundle.include"),
            "zip": (spec.bundle.zip, "bundle.zip"),
            "quantize": (spec.bundle.quantize, "bundle.quantize"),
            "isolated": (isolated, "capabilities"),
            "capabilities": (capabilities, "capabilities"),
            "contracts": (values, "contracts"),
        },
    )
    for name, fields in contracts.items():
        origins |= {f"contracts.{name}.{key}": field for key, (_, field) in fields.items()}
    return with_origins(declared, origins)


def declare_all(context: Context) -> Iterator[Target]:
    """The one of a build."""
    yield declare(context.spec)


KIND = Kind(
    name="bundle",
    per=Per.BUILD,
    declare=declare_all,
    estimate=estimate,
    lists_only=True,
)
