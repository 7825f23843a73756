"""Standard output and standard error that cannot break.

Their reader may end (`| head`), they may be closed from the start (`>&-`), and a locale may not
know all letters. None of this changes what a command does, nor its exit code.
"""

from __future__ import annotations

import io
import os
import sys

from nexusbuild.readable import escape_controls
from nexusbuild.show.terminal import paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TextIO


def steady_streams() -> None:
    """Make those of this process so. Streams that others have put in their place stay theirs."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_what_is_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Steady(stream))


def say(text: str, colour: str = "", letters: int | None = None) -> None:
    """A line on standard output, safe to show.

    colour: of its first letters, or of all (parameters of SGR, as `31;1`), on a terminal.
    """
    first, rest = (text, "") if letters is None else (text[:letters], text[letters:])
    painted = paint(escape_controls(first), colour, sys.stdout)
    sys.stdout.write(f"{painted}{escape_controls(rest)}\n")


def warn(text: str) -> None:
    """A line on standard error, safe to show."""
    sys.stderr.write(escape_controls(text) + "\n")
    sys.stderr.flush()


def print_json(document: Mapping[str, Any]) -> None:
    """The one document on standard output."""
    import json

    escaped = not knows_all_letters(sys.stdout)
    say(json.dumps(document, indent=1, ensure_ascii=escaped))
    sys.stdout.flush()


def knows_all_letters(stream: TextIO) -> bool:
    """Whether JSON can be written there as it is read; elsewhere it escapes its letters."""
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def _open_what_is_closed() -> None:
    """Let nothing stand where they were: else the next file to be opened would be in their place,
    and what is meant for them would be written to it.
    """
    while (nothing := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(nothing)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


class _Steady(io.TextIOWrapper):
    """Another face of the same descriptor. Letters that it does not know are written `\\u2192`."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        stream.flush()
        super().__init__(
            os.fdopen(stream.fileno(), "wb", closefd=False),
            stream.encoding,
            "backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Write the rest nowhere. That the reader has gone is not an error; a full disk is."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        except OSError:
            pass
        if not isinstance(error, BrokenPipeError):
            raise error
