"""What a target takes from the spec.

Its slice is what its result depends on, each part with where it stands in the spec: a change makes
the target stale, and the plan names the spec's own field. Its conduct changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from specs.model import Spec

Field = tuple[Any, str]
"""A value as JSON, and the dotted path of its field in the spec."""


@dataclass(frozen=True)
class Slice:
    """`settings` and `origins` of a target."""

    settings: dict[str, Any]
    origins: dict[str, str]


def slice_of(spec: Spec, fields: Mapping[str, Field] | None = None) -> Slice:
    """A slice with the spec's seed and the fields given: name -> (value, field of the spec).

    Where a value is a mapping, its parts are taken to stand below that field by the same names;
    what stands elsewhere is put right with `with_origins`.
    """
    settings: dict[str, Any] = {"seed": spec.seed}
    origins = {"seed": "seed"}
    for name, (value, field) in (fields or {}).items():
        settings[name] = value
        origins.update(_origins(name, value, field))
    return Slice(settings, origins)


def with_origins(declared: Slice, origins: Mapping[str, str]) -> Slice:
    """The slice with these parts said to stand elsewhere: dotted setting -> field of the spec."""
    return Slice(declared.settings, {**declared.origins, **origins})


def listed_capabilities(spec: Spec, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Data set and teachers of each capability, and where in the spec these stand."""
    listed: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in names:
        listed[name] = {
            "dataset": spec.capabilities[name].dataset,
            "teachers": [teacher.id for teacher in spec.teachers_of(name)],
        }
        origins[f"capabilities.{name}.teachers"] = "teachers"
    return listed, origins


def section_fields(section: Mapping[str, Any], path: str) -> dict[str, Field]:
    """Every field of a section of the spec that stands at `path`."""
    return {name: (value, f"{path}.{name}") for name, value in section.items()}


def training_conduct(spec: Spec) -> dict[str, Any]:
    """How training treats the machine: heat and pauses of the spec's `hardware`, as
    `training.watch` reads them.
    """
    hardware = spec.hardware.model_dump(mode="json", include={"max_temperature_c", "cooldown"})
    return {name: value for name, value in hardware.items() if value is not None}


def _origins(name: str, value: Any, field: str) -> dict[str, str]:
    found = {name: field}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found.update(_origins(f"{name}.{key}", inner, f"{field}.{key}"))
    return found
