"""What a profile has finished, so that one that is killed goes on where it stood.

Findings and sums by name, each written whole or not at all; never a state of the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

# Seconds of work that a kill may cost within one pass over the text.
CHECKPOINT_SECONDS = 60.0

T = TypeVar("T")


class Once(Protocol):
    """`once(name, make)`: what `make` returns; made again only if it was never finished."""

    def __call__(self, name: str, make: Callable[[], T]) -> T: ...


class Checkpoints:
    """Values by name in one folder: tensors, numbers, text, and dataclasses of `kinds`."""

    def __init__(self, folder: Path, kinds: tuple[type, ...]) -> None:
        self.folder = folder
        self.kinds: list[Any] = list(kinds)
        self._written = time.monotonic()

    def once(self, name: str, make: Callable[[], T]) -> T:
        """See `Once`."""
        found: T | None = self.read(name)
        if found is None:
            found = make()
            self.write(name, found)
        return found

    def read(self, name: str) -> Any:
        """The value of this name; None where it was not finished."""
        file = self._file(name)
        if not file.exists():
            return None
        with torch.serialization.safe_globals(self.kinds):
            return torch.load(file, weights_only=True)

    def write(self, name: str, value: Any) -> None:
        """Keep a value; the one before stays until this one is whole."""
        partial = self._file(name).with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(value, file)
        partial.replace(self._file(name))
        self._written = time.monotonic()

    def write_if_due(self, name: str, value: Callable[[], Any]) -> None:
        """Keep a value if nothing was kept for CHECKPOINT_SECONDS."""
        if time.monotonic() - self._written >= CHECKPOINT_SECONDS:
            self.write(name, value())

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.pt"
