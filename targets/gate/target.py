"""Declares `gate:<capability>` and `gate:router`."""

from __future__ import annotations

from collections.abc import Iterable

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.values import HARNESS_METRIC, ROUTER
from targets.budget.estimates import QUICK_SECONDS, quick_needs, student_needs
from targets.declaring.references import reference
from targets.declaring.slices import Field, section_fields, slice_of

VERDICT = "verdict.json"


def contract_fields(spec: Spec, name: str) -> dict[str, Field]:
    """The contract of a capability; its metric is the capability's, unless it names another."""
    contract = spec.contracts.of(name)
    fields = section_fields(contract.model_dump(mode="json"), f"contracts.{name}")
    if contract.metric is None:
        fields["metric"] = (spec.capabilities[name].metric, f"capabilities.{name}.metric")
    return fields


def router_contract_fields(spec: Spec) -> dict[str, Field]:
    """The contract of the router."""
    return section_fields(spec.contracts.router.model_dump(mode="json"), f"contracts.{ROUTER}")


def declare_capability(spec: Spec, name: str) -> Target:
    """The verdict on the capability `name`: no model is opened for it."""
    declared = slice_of(spec, contract_fields(spec, name))
    harness = HARNESS_METRIC.fullmatch(declared.settings["metric"]) is not None
    answers = "harness.jsonl" if harness else "eval.jsonl"
    return Target(
        id=f"gate:{name}",
        work="targets.gate.work:build_capability",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "score": f"score:{name}",
            **({} if harness else {"eval": reference(spec, name, "eval")}),
            **{
                f"baseline/{teacher.id}": f"baseline:{teacher.id}/{name}#{answers}"
                for teacher in spec.teachers_of(name)
            },
        },
        needs=quick_needs(),
        verdict=VERDICT,
        expected_seconds=QUICK_SECONDS,
    )


def declare_router(spec: Spec, routed: Iterable[str]) -> Target:
    """The verdict on the router."""
    declared = slice_of(spec, router_contract_fields(spec))
    return Target(
        id=f"gate:{ROUTER}",
        work="targets.gate.work:build_router",
        settings=declared.settings,
        origins=declared.origins,
        inputs={
            "router": f"pack:{ROUTER}",
            "backbone": "pack:backbone",
            "tokenizer": "tokenizer",
            **{
                f"eval/{name}": f"dataset:{spec.capabilities[name].dataset}#eval.jsonl"
                for name in routed
            },
        },
        needs=student_needs(spec),
        verdict=VERDICT,
        expected_seconds=QUICK_SECONDS,
    )
