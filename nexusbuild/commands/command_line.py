"""Runs the command that the words of a command line name, and prints its errors."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.command import COMMANDS
from nexusbuild.commands.parsing import (
    WrongUseError,
    find_command,
    parse,
    program_name,
    split_words,
)
from nexusbuild.errors import BuildError, ResolveError
from nexusbuild.show.streams import print_json, steady_streams, warn


def run_words(words: list[str]) -> int:
    """Run the command that the words name; the exit code."""
    _outlive_early_signals()
    steady_streams()
    as_json = "--json" in words
    name = ""
    collecting = gc.isenabled()
    try:
        name, rest = split_words(words)
        command = find_command(name)
        parsed = parse(name, command, words, rest)
        if name in COMMANDS:
            gc.disable()  # over before looking for cycles pays; a build that runs turns it on again
        code = int(command.run(parsed))
        sys.stdout.flush()  # what cannot be written is reported here, not after the end
        return code
    except WrongUseError as wrong:
        if as_json:
            _print_errors([wrong.error.to_json()], errors.WRONG)
        raise
    except ResolveError as error:
        return _report([each.to_json() for each in error.problems], str(error), as_json)
    except BuildError as error:
        return _report([error.to_json()], str(error), as_json, error.exit_code)
    except OSError as error:
        return report_refusal(error, program_name(name), as_json)
    except KeyboardInterrupt:
        if as_json:
            _print_errors([errors.interrupted(program_name(name)).to_json()], errors.INTERRUPTED)
        return errors.INTERRUPTED
    finally:
        if collecting:
            gc.enable()


def _outlive_early_signals() -> None:
    """SIGUSR1 and SIGUSR2 are for works that run; before there is one, they must not kill."""
    with contextlib.suppress(ValueError):  # not the main thread: signals are another's business
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda signum, frame: None)


def _folder_is_gone() -> bool:
    """Whether the folder that we are in was deleted: no path can be made whole then."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def report_refusal(error: OSError, program: str, as_json: bool = False) -> int:
    """Print what the machine refused; the exit code. Raises the error where that is a defect."""
    if _folder_is_gone():
        refused = errors.folder_gone()
    elif error.errno in errors.OF_THE_MACHINE:
        refused = errors.system(program, error)
    else:
        raise error
    return _report([refused.to_json()], str(refused), as_json, refused.exit_code)


def _report(found: list[dict[str, Any]], text: str, as_json: bool, code: int = errors.WRONG) -> int:
    from nexusbuild.show.terminal import fit_lines

    if as_json:
        _print_errors(found, code)
    with contextlib.suppress(OSError):  # where nothing can be written, the exit code says it
        warn(fit_lines(text, sys.stderr))
    return code


def _print_errors(found: Sequence[Mapping[str, Any]], code: int) -> None:
    """The JSON document of a command that failed."""
    with contextlib.suppress(OSError):  # where nothing can be written, the exit code says it
        print_json({"errors": found, "exit_code": code})
