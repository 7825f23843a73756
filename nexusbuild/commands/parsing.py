"""Which command the words name, and what its arguments are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import NoReturn

from nexusbuild import errors
from nexusbuild.command import COMMANDS, DOMAIN_COMMANDS, Command
from nexusbuild.commands.package_options import add_package_options
from nexusbuild.errors import BuildError

_USAGE = "nexusbuild [TARGET ...] [option ...]\n       nexusbuild COMMAND [argument ...]"
_WITH_VALUE = ("-f", "--file", "-j", "--jobs", "--store", "--force", "--resolver", "--plan")


def split_words(words: list[str]) -> tuple[str, list[str]]:
    """The command's name and the rest; without a command it is `build`."""
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        place += 2 if words[place] in _WITH_VALUE else 1
    if place < len(words):
        first = words[place]
        if first in COMMANDS or _domain_command(first) is not None:
            return first, words[:place] + words[place + 1 :]
    return "build", words


def find_command(name: str) -> Command:
    """The command of this name: the builder's, or one that an installed package brings."""
    if name in COMMANDS:
        own: Command = import_module(f"nexusbuild.commands.{name}").command
        return own
    found = _domain_command(name)
    if found is None:
        raise LookupError(name)
    return found


def _domain_command(name: str) -> Command | None:
    """A command that an installed package brings."""
    if not name.isidentifier():
        return None
    for point in metadata.entry_points(group=DOMAIN_COMMANDS, name=name):
        try:
            found: Command = point.load()
        except (ImportError, AttributeError) as error:
            raise errors.resolver_unusable(name, error) from error
        return found
    return None


def parse(name: str, command: Command, words: Sequence[str], rest: list[str]) -> argparse.Namespace:
    """The command's arguments. words: all that was typed; rest: without the command's name."""
    parser = parser_of(name, command, rest)
    parser.set_defaults(command_line=tuple(words))
    return parser.parse_args(rest)


def parser_of(name: str, command: Command, words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command; with its examples, where the words ask for help."""
    parser = _Parser(
        prog=program_name(name),
        usage=_USAGE if name == "build" else None,
        description=command.help,
        formatter_class=_help_formatter,
        allow_abbrev=False,
    )
    if {"-h", "--help"} & set(words) and name in COMMANDS:
        from nexusbuild.commands.examples import EXAMPLES

        parser.epilog = EXAMPLES[name]
        if name == "build":
            parser.epilog += "\n" + _list_of_commands()
    command.configure(parser)
    if name == "build":
        add_package_options(parser, words)
    return parser


def program_name(name: str) -> str:
    """How a command is called: `nexusbuild`, `nexusbuild why`."""
    return "nexusbuild" if name in ("", "build") else f"nexusbuild {name}"


class WrongUseError(SystemExit):
    """What argparse refuses, after it has printed so on standard error."""

    def __init__(self, error: BuildError) -> None:
        super().__init__(errors.WRONG)
        self.error = error


class _Parser(argparse.ArgumentParser):
    """Suggests options that an unknown one may have been meant as."""

    def error(self, message: str) -> NoReturn:
        words = message.partition("unrecognized arguments: ")[2].split()
        unknown = [word for word in words if word.startswith("--")]
        hints = [errors.did_you_mean(word, self._option_string_actions) for word in unknown]
        message = "; ".join([message, *filter(None, hints)])
        try:
            super().error(message)
        except SystemExit:
            raise WrongUseError(errors.wrong_use(self.prog, message)) from None


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    """argparse's own. It is given the width, so that it need not import what finds it out."""
    from nexusbuild.show.terminal import columns

    width = columns(sys.stdout) or 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(40, width - 2))


def _list_of_commands() -> str:
    names = dict(COMMANDS)
    for point in sorted(metadata.entry_points(group=DOMAIN_COMMANDS), key=lambda each: each.name):
        try:
            names[point.name] = str(point.load().help)
        except (ImportError, AttributeError) as error:
            names[point.name] = f"(cannot be used: {error})"
    longest = max(map(len, names))
    lines = [f"  {name:<{longest}} {text}" for name, text in names.items()]
    return "commands (nexusbuild COMMAND --help):\n" + "\n".join(lines)
