"""What commands that know the spec have in common."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import specs
from nexusbuild.plugins import Problem, ResolveError, fit_lines, nearest_spec, say, warn
from specs.model import Spec
from specs.problems import SpecProblem
from targets.resolver.problems import as_resolve_error

SPEC_NAME = "nexus.yaml"
DONE, FAILED, WRONG = 0, 1, 2
WIDEST = 100


def spec_path(arguments: argparse.Namespace) -> Path:
    """The spec that the arguments mean; a named one need not be there. Raises BuildError."""
    if arguments.file:
        path = Path(arguments.file)
        return path / SPEC_NAME if path.is_dir() else path
    return nearest_spec()


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


def count_phrase(number: int, one: str, many: str = "") -> str:
    """`1 teacher`, `2,000 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def say_fitted(text: str) -> None:
    """A result, to standard output, in lines that fit a terminal."""
    say(fit_lines(text, sys.stdout))


def note(texts: Iterable[str]) -> None:
    """What is worth knowing and hinders nothing, to standard output."""
    for text in texts:
        say_fitted(f"note: {text}")


def complain(problems: Iterable[SpecProblem | Problem | str]) -> None:
    """What is wrong, to standard error."""
    for problem in problems:
        warn(fit_lines(str(problem), sys.stderr))


def width() -> int:
    """Columns of the terminal, as far as lines stay readable; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
