"""Open what a capability of a bundle reads besides text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus.configuration import parse_description
from nexus.errors import InvalidInputError, blame
from nexus.manifest import Capability
from nexus.media.intake import Intake, medium_module
from nexus.media.reading import MediaReader, projections_of
from nexus.opened_bundle import OpenedBundle
from nexus.stored_tensors import tensors_in


def open_reader(
    capability: Capability, bundle: OpenedBundle, intakes: dict[str, Intake], width: int
) -> MediaReader:
    """intakes: those that are open already, by medium; new ones are added. width: the backbone's.

    Raises BundleError naming the file at fault, and InvalidInputError where no package that is
    installed reads a medium.
    """
    if not capability.reads:
        return MediaReader((), {}, {})
    for medium in capability.reads:
        if medium not in intakes:
            intakes[medium] = _open_intake(bundle, medium)
    with blame(capability.projection):
        projections = projections_of(tensors_in(bundle.read(capability.projection)))
        for medium in capability.reads:
            found, wanted = projections[medium].weight.shape, (width, intakes[medium].width)
            if tuple(found) != wanted:
                raise ValueError(f"the projection of {medium} is {tuple(found)}, not {wanted}")
    return MediaReader(capability.reads, intakes, projections)


def _open_intake(bundle: OpenedBundle, medium: str) -> Intake:
    files = bundle.manifest.encoders[medium]
    module = medium_module(medium)
    with blame(files.weights):
        tensors = tensors_in(bundle.read(files.weights))
        return module.open_intake(tensors, parse_description(bundle.read(files.configuration)))


def values_by_row(media: Mapping[str, Any], rows: int | None) -> list[dict[str, Any]]:
    """What each prompt is given besides text. rows: how many prompts there are, each with its own
    in a list; None for a single one. Raises InvalidInputError where a list has another length.
    """
    if rows is None:
        return [dict(media)]
    for medium, values in media.items():
        if not isinstance(values, (list, tuple)) or len(values) != rows:
            raise InvalidInputError(f"{medium}= takes a list with one value for each prompt")
    return [{medium: values[row] for medium, values in media.items()} for row in range(rows)]
