"""What a stream shows of a text: a terminal has a width and colours. Elsewhere lines stay whole and
plain, for scripts and logs search for them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

WITHOUT_TERMINAL = 100  # columns


def columns(stream: TextIO) -> int | None:
    """Of the terminal that the stream writes to; None where there is none, or it knows none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def paint(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour (parameters of SGR, as `31;1`), where the stream shows colours."""
    if not colour or not stream.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def wrap_lines(text: str, indent: int, stream: TextIO) -> list[str]:
    """The text in lines that fit the terminal, or 100 columns where there is none."""
    from textwrap import wrap

    width = columns(stream) or WITHOUT_TERMINAL
    space = " " * indent
    return wrap(text, max(width, indent + 20), initial_indent=space, subsequent_indent=space)


def fit_lines(text: str, stream: TextIO) -> str:
    """The text, each line of it wrapped to the terminal, what follows two further in; elsewhere as
    it is. A line that begins with `$ ` is a command, and can be copied as one.
    """
    width = columns(stream)
    if width is None:
        return text
    from textwrap import wrap

    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.startswith(f"{indent}$ "):
            lines += _wrap_command(line, indent, width)
            continue
        lines += wrap(
            line,
            max(width, len(indent) + 20),
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def _wrap_command(command: str, indent: str, width: int) -> list[str]:
    """A command over lines as a shell reads them; whole where a quoted word might be cut."""
    from textwrap import wrap

    if "'" in command:
        return [command]
    parts = wrap(
        command,
        max(width, len(indent) + 20) - 2,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1]]
