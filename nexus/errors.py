"""What can be wrong with a bundle, said so that a person knows what to do."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle cannot be trusted or read. `path` is the file at fault, inside the bundle."""

    def __init__(self, path: str, message: str, remedy: str = "") -> None:
        text = f"{path}: {message}"
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self.path = path


class UnknownCapabilityError(ValueError):
    """A capability that the bundle does not have, or no longer."""
