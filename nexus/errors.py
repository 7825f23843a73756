"""What can be wrong with a bundle, said so that a person knows what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from nexus.printable import printable

REBUILD = "Fetch the bundle again, or build it again"


class BundleError(Exception):
    """A bundle cannot be trusted or read. `path` is the file at fault, inside the bundle.

    What it says is one line, whatever the names of files are.
    """

    def __init__(self, path: str, message: str, remedy: str = "") -> None:
        text = f"{path}: {message}"
        whole = f"{text}. {remedy}" if remedy else text
        super().__init__(printable(whole).replace("\n", "\\n"))
        self.path = path


class UnknownCapabilityError(ValueError):
    """A capability that the bundle does not have, or no longer."""


class InvalidInputError(ValueError):
    """What was given is wrong in itself, whatever the bundle: no text, no such device."""


class IsolatedCapabilityError(PermissionError):
    """An isolated capability that was not asked for explicitly."""

    def __init__(self, capability: str) -> None:
        super().__init__(
            f"{capability} is an isolated capability: pass enable_uncensored=True to use it"
        )
        self.capability = capability


@contextmanager
def blame(path: str) -> Iterator[None]:
    """Whatever fails in the `with` block is the fault of the bundle's file `path`.

    For reading data with libraries that raise anything, down to a plain Exception, or panic.
    """
    try:
        yield
    except BundleError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        # Some libraries list all that they know; the beginning says what was wrong.
        reason = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")
        raise BundleError(path, f"is not what it should be ({reason})", REBUILD) from error


def _is_panic(error: BaseException) -> bool:
    """Whether a library in Rust gave up. It says so outside of Exception, by a class of its own."""
    return type(error).__name__ == "PanicException"
