"""The contract of a medium's half that ships, and how its module is found.

A medium's module stands in this folder under the medium's name, or in another package that names
it as an entry point of the group `nexus.media`. It offers one function, `open_intake`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Protocol

from torch import Tensor

from nexus.errors import InvalidInputError

GROUP = "nexus.media"
# What stands in this folder and is no medium.
_NOT_MEDIA = ("intake", "reading")


class Intake(Protocol):
    """A packed encoder: one picture, sound, or list in, states out.

    width: of the states that it gives.
    """

    width: int

    def states(self, value: Any) -> Tensor:
        """States of one value, float32 (count, width); count may differ from value to value.

        Raises InvalidInputError where the value is not of this medium, or past its limits.
        """
        ...


class Medium(Protocol):
    """A module of a medium, as the runtime uses it."""

    __name__: str

    def open_intake(
        self, tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]
    ) -> Intake:
        """The intake of a packed encoder: its tensors by name, and its `.json`.

        Raises ValueError where they do not fit each other.
        """
        ...


@cache
def medium_module(name: str) -> Medium:
    """The module of a medium. Raises InvalidInputError where none is installed."""
    built_in = f"{__package__}.{name}"
    if name.isidentifier() and name not in _NOT_MEDIA and find_spec(built_in) is not None:
        module: Medium = import_module(built_in)
        return module
    for point in metadata.entry_points(group=GROUP):
        if point.name == name:
            loaded: Medium = point.load()
            return loaded
    raise InvalidInputError(
        f"this installation of Nexus cannot read {name}: install the package that brings it "
        f"(an entry point {name!r} of the group {GROUP!r})"
    )
