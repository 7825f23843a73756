"""What a command is: a name, a line of help, its arguments, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """run returns the exit code; it raises BuildError for what a person can mend."""

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say which project is meant."""
    parser.add_argument(
        "-f", "--file", metavar="PATH", help="spec (default: the nearest nexus.yaml)"
    )
    parser.add_argument("--store", metavar="PATH", help="default: .nexus beside the spec")
    parser.add_argument(
        "--resolver",
        metavar="NAME",
        help="installed resolver, or module:function (default: default)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on standard output, nothing else there",
    )
