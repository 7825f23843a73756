"""Declares `bundle`, the release."""

from __future__ import annotations

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import ROUTER
from targets.budget.estimates import QUICK_SECONDS, student_needs
from targets.declaring.slices import Field, Slice, listed_capabilities, placed, slice_of
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
        needs=student_needs(spec),
        release=True,
        expected_seconds=QUICK_SECONDS,
    )


def _slice(spec: Spec, included: tuple[str, ...]) -> Slice:
    isolated = [name for name in included if spec.capabilities[name].isolated]
    capabilities, origins = listed_capabilities(spec, included)
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
    return placed(declared, origins)
