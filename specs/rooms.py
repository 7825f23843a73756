"""Rooms of media: what each reads and writes, and what it adds to `nexus.yaml`.

A room is a package with a `spec.py`: a folder of `modalities`, or one that another package brings
by an entry point of the group `nexus.modalities`. Its `spec.py` holds READS, WRITES, or both;
PAYLOADS where what is read lies in files; and perhaps two pydantic models, DatasetFields and
EncoderFields. No model library is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from pydantic import BaseModel

from specs.names import rooms_with

TEXT = "text"


@dataclass(frozen=True)
class Room:
    """One room. reads, writes: its medium, where it can be read, where it can be written.

    dataset_fields: what it adds to a data set. encoder_fields: `student.encoders.<medium>`.
    payloads: whether what is read lies in files next to the rows.
    """

    package: str
    reads: str | None
    writes: str | None
    dataset_fields: type[BaseModel] | None
    encoder_fields: type[BaseModel] | None
    payloads: bool

    def module(self, name: str) -> str:
        """The dotted name of one of its modules."""
        return f"{self.package}.{name}"


@lru_cache(maxsize=1)
def rooms() -> tuple[Room, ...]:
    """All rooms, the project's own first."""
    return tuple(_room(package) for package in rooms_with("spec.py"))


@lru_cache(maxsize=1)
def readable() -> Mapping[str, Room]:
    """Medium -> the room by which it is read."""
    return {room.reads: room for room in rooms() if room.reads is not None}


@lru_cache(maxsize=1)
def writable() -> Mapping[str, Room]:
    """Medium -> the room by which it is written."""
    return {room.writes: room for room in rooms() if room.writes is not None}


def missing_trainer(modality: str, reads: Iterable[str], writes: str) -> str | None:
    """What of a capability there is no trainer for, in words; None where it can be trained.

    modality: as the capability says it in a word; anything but text is declared only.
    """
    if modality != TEXT:
        return modality
    unread = next((medium for medium in reads if medium not in readable()), None)
    if unread is not None:
        return f"reading {unread}"
    return None if writes in writable() else f"writing {writes}"


def _room(package: str) -> Room:
    module = import_module(f"{package}.spec")
    return Room(
        package,
        getattr(module, "READS", None),
        getattr(module, "WRITES", None),
        getattr(module, "DatasetFields", None),
        getattr(module, "EncoderFields", None),
        getattr(module, "PAYLOADS", False),
    )
