"""The entry of the program: prints at once that nothing has changed, or runs a command.

What it imports before it knows which of the two it is, every dry run pays for.
"""

from __future__ import annotations

import os
import sys

from nexusbuild.show.streams import say, steady_streams
from nexusbuild.show.terminal import fit_lines
from nexusbuild.unchanged import dry_run_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `nexusbuild` with these arguments, or those of the process; the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how a word goes on
        from nexusbuild.commands.completion import complete_words

        complete_words()
    words = list(sys.argv[1:] if arguments is None else arguments)
    lines = dry_run_lines() if words in (["-n"], ["--dry-run"]) else None
    if lines is not None:
        return _print_lines(lines)
    from nexusbuild.commands.command_line import run_words

    return run_words(words)


def _print_lines(lines: list[str]) -> int:
    steady_streams()
    try:
        for line in lines:
            say(fit_lines(line, sys.stdout))
        sys.stdout.flush()
    except OSError as error:
        from nexusbuild.commands.command_line import report_refusal

        return report_refusal(error, "nexusbuild")
    return 0


if __name__ == "__main__":
    sys.exit(main())
