"""What a capability reads besides text: the modules that read it, the encoders, the payloads."""

from __future__ import annotations

from specs.model import Spec
from specs.rooms import TEXT, Room, readable
from targets.declaring.slices import Field


def room_of(spec: Spec, capability: str) -> Room:
    """The room by which a capability's rows are read: that of its first medium, else of text."""
    media = spec.capabilities[capability].media
    return readable()[next((medium for medium in media if medium in readable()), TEXT)]


def reading_code(spec: Spec, capability: str) -> dict[str, str]:
    """The role `reading`: rows as a given model reads them."""
    return {"reading": room_of(spec, capability).module("reading")}


def reads_fields(spec: Spec, capability: str) -> dict[str, Field]:
    """The setting `reads`; none where a capability reads text alone, so that no key changes."""
    media = spec.capabilities[capability].media
    return {"reads": (list(media), f"capabilities.{capability}.reads")} if media else {}


def encoder_inputs(spec: Spec, capability: str) -> dict[str, str]:
    """Role `encoder/<medium>`: each packed encoder that a capability's adapter stands on."""
    media = spec.capabilities[capability].media
    return {f"encoder/{medium}": f"pack:encoder/{medium}" for medium in media}


def payload_inputs(spec: Spec, capability: str) -> dict[str, str]:
    """Role `media`: the files of a capability's data set that its rows refer to."""
    rooms = [readable()[medium] for medium in spec.capabilities[capability].media]
    if not any(room.payloads for room in rooms):
        return {}
    return {"media": f"dataset:{spec.capabilities[capability].dataset}#media"}
