"""What a command is: a name, a line of help, its arguments, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

COMMANDS = {
    "build": "build what is stale (the default command)",
    "why": "why is it stale, or what was it built from",
    "ls": "targets with state, size, duration, age",
    "graph": "the targets and what they need",
    "log": "earlier builds",
    "diff": "what differs between two builds",
    "lock": "write nexus.lock; upgrade what is pinned",
    "accept": "a change of code is harmless to a target's results: keep them",
    "store": "carry results between machines: store export, store import",
    "gc": "drop what no kept build refers to",
    "doctor": "hardware, libraries, what can run here, the store",
    "completion": "let bash, zsh or fish complete words",
}
DOMAIN_COMMANDS = "nexusbuild.commands"  # the entry-point group of those that packages bring


@dataclass(frozen=True)
class Command:
    """run returns the exit code; raises BuildError for what a person can fix."""

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that name a project."""
    add_file(parser)
    add_store(parser)
    parser.add_argument(
        "--resolver",
        metavar="NAME",
        help="installed resolver, or module:function, also next to the spec (default: default)",
    )


def add_file(parser: argparse.ArgumentParser) -> None:
    """`-f PATH`: which spec."""
    parser.add_argument(
        "-f",
        "--file",
        metavar="PATH",
        help="the spec (default: nexus.yaml here or in a parent folder)",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--store PATH`: where results are."""
    parser.add_argument("--store", metavar="PATH", help="default: .nexus next to the spec")


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: for programs."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on standard output, nothing else there",
    )


def positive(text: str) -> int:
    """A number of things on the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def command_names() -> list[str]:
    """Every command that is there, those that packages bring included."""
    from importlib import metadata

    return [*COMMANDS, *sorted(metadata.entry_points(group=DOMAIN_COMMANDS).names)]


def command_texts() -> dict[str, str]:
    """name -> what it does, as far as that is known without loading those that packages bring."""
    return dict.fromkeys(command_names(), "") | COMMANDS
