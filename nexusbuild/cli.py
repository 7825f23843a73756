"""The command line: finds the command, runs it, words its errors. Commands live in `commands/`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TextIO

from nexusbuild import errors
from nexusbuild.command import COMMANDS, DOMAIN_COMMANDS
from nexusbuild.commands.package_options import add_package_options
from nexusbuild.errors import BuildError
from nexusbuild.graph import ResolveError
from nexusbuild.show.streams import steady_streams

_USAGE = "nexusbuild [TARGET ...] [option ...]\n       nexusbuild COMMAND [argument ...]"
_WITH_VALUE = ("-f", "--file", "-j", "--jobs", "--store", "--force", "--resolver", "--plan")


def main(arguments: Sequence[str] | None = None) -> int:
    _outlive_early_signals()
    steady_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    name = ""
    collecting = gc.isenabled()
    try:
        name, rest = _command_and_arguments(words)
        command = find_command(name)
        parsed = _parsed(name, command, words, rest)
        if name in COMMANDS:
            gc.disable()  # over before looking for cycles pays; a build that runs turns it on again
        code = int(command.run(parsed))
        sys.stdout.flush()  # what cannot be written is said here, not after the end
        return code
    except _WrongUseError as error:
        if as_json:
            _print_errors([error.found.to_json()], errors.WRONG)
        raise
    except ResolveError as error:
        return _wrong([each.to_json() for each in error.problems], str(error), as_json)
    except BuildError as error:
        return _wrong([error.to_json()], str(error), as_json, error.exit_code)
    except OSError as error:
        if _folder_is_gone():
            refused = errors.folder_gone()
        elif error.errno in errors.OF_THE_MACHINE:
            refused = errors.system(_program(name), error)
        else:
            raise
        return _wrong([refused.to_json()], str(refused), as_json, refused.exit_code)
    except KeyboardInterrupt:
        if as_json:
            _print_errors([errors.interrupted(_program(name)).to_json()], errors.INTERRUPTED)
        return errors.INTERRUPTED
    finally:
        if collecting:
            gc.enable()


def _outlive_early_signals() -> None:
    """SIGUSR1 and SIGUSR2 are for what is trained; where nothing is yet, they must not kill."""
    with contextlib.suppress(ValueError):  # not in the main thread, which is another's then
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda signum, frame: None)


def _parsed(name: str, command: Any, words: list[str], rest: list[str]) -> argparse.Namespace:
    """The arguments, and what the command may ask of the engine."""
    parser = parser_of(name, command, rest)
    parser.set_defaults(command_line=tuple(words))
    if name not in COMMANDS:
        parser.set_defaults(
            blocked_targets=_blocked_targets,
            current_result=_current_result,
            fitted=_fitted,
            overview=_overview_of,
            seed_of=_seed_of,
        )
    return parser.parse_args(rest)


def _folder_is_gone() -> bool:
    """Whether the folder that we are in was deleted: no path can be made whole then."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _program(name: str) -> str:
    return "nexusbuild" if name in ("", "build") else f"nexusbuild {name}"


def parser_of(name: str, command: Any, words: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments of a command; with its examples, where they ask for help."""
    parser = _Parser(
        prog=_program(name),
        usage=_USAGE if name == "build" else None,
        description=command.help,
        formatter_class=_help_formatter,
        allow_abbrev=False,
    )
    if {"-h", "--help"} & set(words) and name in COMMANDS:
        from nexusbuild.commands.examples import EXAMPLES

        parser.epilog = EXAMPLES[name]
        if name == "build":
            parser.epilog += "\n" + _overview()
    command.configure(parser)
    if name == "build":
        add_package_options(parser, words)
    return parser


def _wrong(found: list[dict[str, Any]], text: str, as_json: bool, code: int = errors.WRONG) -> int:
    from nexusbuild.show.terminal import fitted
    from nexusbuild.show.wording import warn

    if as_json:
        _print_errors(found, code)
    with contextlib.suppress(OSError):  # where nothing can be said, the exit code says it
        warn(fitted(text, sys.stderr))
    return code


def _print_errors(found: Sequence[Mapping[str, Any]], code: int) -> None:
    """The document of a command that did not come to its own."""
    from nexusbuild.show.wording import print_json

    with contextlib.suppress(OSError):  # the same
        print_json({"errors": found, "exit_code": code})


def _command_and_arguments(words: list[str]) -> tuple[str, list[str]]:
    """The command's name and the rest; without a command it is `build`."""
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        place += 2 if words[place] in _WITH_VALUE else 1
    if place < len(words):
        first = words[place]
        if first in COMMANDS or _domain_command(first) is not None:
            return first, words[:place] + words[place + 1 :]
    return "build", words


def find_command(name: str) -> Any:
    """The command of this name, ours or one that an installed package brings."""
    if name in COMMANDS:
        return import_module(f"nexusbuild.commands.{name}").command
    return _domain_command(name)


def _domain_command(name: str) -> Any:
    """A command that an installed package brings, or None."""
    if not name.isidentifier():
        return None
    from importlib import metadata

    for point in metadata.entry_points(group=DOMAIN_COMMANDS, name=name):
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise errors.resolver_unusable(name, error) from error
    return None


def _blocked_targets(spec: Path) -> set[str]:
    """What a domain command may ask of the engine; imported when it does."""
    from nexusbuild.blocked import blocked_targets

    return blocked_targets(spec)


def _current_result(spec: Path, store: str | None, target: str) -> Any:
    """The same, of what the current build left."""
    from nexusbuild.results import current_result

    return current_result(spec, store, target)


def _fitted(text: str, stream: TextIO) -> str:
    """The same, of the width of a terminal."""
    from nexusbuild.show.terminal import fitted

    return fitted(text, stream)


def _overview_of(spec: str | None, store: str | None) -> Any:
    """The same, of everything that a report shows."""
    from nexusbuild.overview import overview

    return overview(spec, store)


def _seed_of(seed: int, target: str) -> int:
    """The same, of a target's own seed."""
    from nexusbuild.digest.keys import seed_of

    return seed_of(seed, target)


class _WrongUseError(SystemExit):
    """What argparse refuses, once it has said so on standard error."""

    def __init__(self, found: BuildError) -> None:
        super().__init__(errors.WRONG)
        self.found = found


class _Parser(argparse.ArgumentParser):
    """Says which option an unknown one may have been meant as."""

    def error(self, message: str) -> NoReturn:
        words = message.partition("unrecognized arguments: ")[2].split()
        unknown = [word for word in words if word.startswith("--")]
        hints = [errors.nearest(word, self._option_string_actions) for word in unknown]
        message = "; ".join([message, *filter(None, hints)])
        try:
            super().error(message)
        except SystemExit:
            raise _WrongUseError(errors.wrong_use(self.prog, message)) from None


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    """As argparse's own; told the width, it need not import what finds it out."""
    from nexusbuild.show.terminal import columns

    width = columns(sys.stdout) or 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(40, width - 2))


def _overview() -> str:
    from importlib import metadata

    names = dict(COMMANDS)
    for point in sorted(metadata.entry_points(group=DOMAIN_COMMANDS), key=lambda each: each.name):
        try:
            names[point.name] = str(point.load().help)
        except (ImportError, AttributeError) as error:
            names[point.name] = f"(cannot be used: {error})"
    longest = max(map(len, names))
    lines = [f"  {name:<{longest}} {text}" for name, text in names.items()]
    return "commands (nexusbuild COMMAND --help):\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
