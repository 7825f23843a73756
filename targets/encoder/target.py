"""Declares `encoder:<medium>`, for each medium that a capability reads besides text."""

from __future__ import annotations

from collections.abc import Iterator

from nexusbuild.plugins import Target
from specs.model import Spec
from specs.rooms import readable
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.media import payload_inputs
from targets.declaring.pins import TeacherOf, encoder_group
from targets.declaring.slices import section_fields, slice_of, training_conduct
from targets.encoder.estimate import estimate


def declare(spec: Spec, medium: str, pinned: tuple[TeacherOf, ...]) -> Target:
    """Made from the data, profiles and traces of the teachers that read it, as the lock names."""
    room = readable()[medium]
    fields = {}
    if room.encoder_fields is not None:
        path = f"student.encoders.{medium}"
        fields = section_fields(spec.student.encoders.of(medium), path)
    declared = slice_of(spec, fields)
    inputs = {"architecture": "architecture:backbone"}
    for of in pinned:
        data_set = spec.capabilities[of.capability].dataset
        inputs[f"train/{data_set}"] = f"dataset:{data_set}#train.jsonl"
        for reference in payload_inputs(spec, of.capability).values():
            inputs[f"media/{data_set}"] = reference
        inputs[f"profile/{of}"] = f"profile:{of}"
        inputs[f"trace/{of}"] = f"trace:{of}"
    return Target(
        id=f"encoder:{medium}",
        work="targets.encoder.work:build",
        code={"encoder": room.module("student")},
        settings=declared.settings,
        origins=declared.origins,
        inputs=inputs,
        pin=encoder_group(medium),
        conduct=training_conduct(spec),
    )


def declare_all(context: Context) -> Iterator[Target]:
    """One for each medium."""
    for medium in context.spec.media():
        yield declare(context.spec, medium, context.pins.encoder_parts.get(medium, ()))


KIND = Kind(
    name="encoder",
    per=Per.MEDIUM,
    declare=declare_all,
    estimate=estimate,
)
