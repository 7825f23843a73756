"""What a command of `nexusbuild` that knows the spec consists of."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import specs
from nexusbuild.graph import Problem, ResolveError
from specs.model import Spec
from specs.problems import SpecProblem
from targets.resolver.problems import as_resolve_error

SPEC_NAME = "nexus.yaml"
DONE, FAILED, WRONG = 0, 1, 2
WIDEST = 100


@dataclass(frozen=True)
class Command:
    """help: one line. run: returns the exit code; it raises ResolveError for what a person can
    mend, and the engine says it.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_file_argument(parser: argparse.ArgumentParser) -> None:
    """`-f PATH`, as every command of `nexusbuild` has it."""
    parser.add_argument(
        "-f",
        "--file",
        metavar="PATH",
        help="the spec (default: nexus.yaml here or in a parent folder)",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`, likewise."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on standard output, nothing else"
    )


def spec_path(arguments: argparse.Namespace) -> Path:
    """The spec that the arguments mean; a named one need not be there. Raises ResolveError."""
    if arguments.file:
        path = Path(arguments.file)
        return path / SPEC_NAME if path.is_dir() else path
    with suppress(FileNotFoundError):  # the folder that a person is in may be deleted
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / SPEC_NAME).is_file():
                return folder / SPEC_NAME
    message = f"no {SPEC_NAME} here or in a parent folder"
    raise refusal(message, "name the spec with -f PATH")


def opened_spec(arguments: argparse.Namespace) -> tuple[Path, Spec]:
    """The spec that the arguments mean, and where it lies. Raises ResolveError where it is wrong or
    not there.
    """
    path = spec_path(arguments)
    try:
        return path, specs.load(path)
    except specs.SpecError as error:
        raise as_resolve_error(error) from None


def refusal(message: str, remedy: str = "") -> ResolveError:
    """What a person has to mend: raised, the engine says it, as JSON too, and ends with WRONG."""
    return ResolveError([Problem(message, remedy=remedy)])


def in_words(error: Exception) -> str:
    """What it says, without the number that the operating system gives what it refuses."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def say(text: str) -> None:
    """A result, to standard output."""
    sys.stdout.write(printable(text) + "\n")


def printable(text: str) -> str:
    """Names of files may hold bytes that are no text: these as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def counted(number: int, one: str, many: str = "") -> str:
    """`1 teacher`, `2,000 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def say_fitted(arguments: argparse.Namespace, text: str) -> None:
    """A result, to standard output, in lines that fit a terminal; the engine knows how."""
    say(arguments.fitted(text, sys.stdout))


def note(arguments: argparse.Namespace, texts: Iterable[str]) -> None:
    """What is worth knowing and hinders nothing, to standard output."""
    for text in texts:
        say_fitted(arguments, f"note: {text}")


def complain(
    arguments: argparse.Namespace, problems: Iterable[SpecProblem | Problem | str]
) -> None:
    """What is wrong, to standard error."""
    for problem in problems:
        sys.stderr.write(printable(arguments.fitted(str(problem), sys.stderr)) + "\n")


def print_json(document: Mapping[str, Any]) -> None:
    """The one document on standard output."""
    escaped = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    say(json.dumps(document, indent=1, ensure_ascii=escaped))


def positive(text: str) -> int:
    """A number of things on the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def width() -> int:
    """Columns of the terminal, as far as lines stay readable; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
