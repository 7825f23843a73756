"""What a command of `nexusbuild` that knows the spec consists of."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import specs
from nexusbuild.graph import Problem
from specs.model import Spec
from specs.problems import SpecProblem

SPEC_NAME = "nexus.yaml"
DONE, FAILED, WRONG = 0, 1, 2
WIDEST = 100


@dataclass(frozen=True)
class Command:
    """`run` returns the exit code. help: one line."""

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


def spec_path(arguments: argparse.Namespace) -> Path | None:
    """The spec that the arguments mean; None, with a message, where there is none."""
    if arguments.file:
        path = Path(arguments.file)
        return path / SPEC_NAME if path.is_dir() else path
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / SPEC_NAME).is_file():
            return folder / SPEC_NAME
    complain([f"no {SPEC_NAME} here or in a parent folder; name the spec with -f PATH"])
    return None


def opened_spec(arguments: argparse.Namespace) -> tuple[Path, Spec] | None:
    """The spec that the arguments mean, and where it lies; None, with a message, where it is wrong
    or not there: the command is to end with WRONG.
    """
    path = spec_path(arguments)
    if path is None:
        return None
    try:
        return path, specs.load(path)
    except specs.SpecError as error:
        refuse(arguments, error.problems)
        return None


def say(text: str) -> None:
    """A result, to standard output."""
    sys.stdout.write(printable(text) + "\n")


def printable(text: str) -> str:
    """Names of files may hold bytes that are no text: these as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def counted(number: int, one: str, many: str = "") -> str:
    """`1 teacher`, `2,000 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def note(texts: Iterable[str]) -> None:
    """What is worth knowing and hinders nothing, to standard output."""
    for text in texts:
        say(fitted(f"note: {text}", sys.stdout))


def complain(problems: Iterable[SpecProblem | Problem | str]) -> None:
    """What is wrong, to standard error."""
    for problem in problems:
        sys.stderr.write(printable(fitted(str(problem), sys.stderr)) + "\n")


def fitted(text: str, stream: TextIO) -> str:
    """The text, each line of it wrapped to the terminal, what follows two further in; elsewhere as
    it is, for scripts and logs search for whole lines. A line that begins with `$ ` is a command,
    and can be copied as one.
    """
    if not stream.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.startswith(f"{indent}$ "):
            lines += _continued(line, indent, columns)
            continue
        lines += textwrap.wrap(
            line,
            max(columns, len(indent) + 20),
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def _continued(command: str, indent: str, width: int) -> list[str]:
    """A command over lines as a shell reads them; whole where a quoted word might be cut."""
    if "'" in command:
        return [command]
    parts = textwrap.wrap(
        command,
        max(width, len(indent) + 20) - 2,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1]]


def print_json(document: Mapping[str, Any]) -> None:
    """The one document on standard output."""
    sys.stdout.write(printable(json.dumps(document, indent=1, ensure_ascii=False)) + "\n")


def refuse(arguments: argparse.Namespace, problems: Sequence[SpecProblem | Problem | str]) -> int:
    """What is wrong, to standard error, and with --json as the document too; the exit code."""
    if arguments.json:
        messages = [{"message": str(problem)} for problem in problems]
        print_json({"errors": messages, "exit_code": WRONG})
    complain(problems)
    return WRONG


def positive(text: str) -> int:
    """A number of things on the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def width() -> int:
    """Columns of the terminal, as far as lines stay readable; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
