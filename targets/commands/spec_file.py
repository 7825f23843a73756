"""Edits of a spec's file: made whole or not at all, and never one that adds a mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import specs
from nexusbuild.plugins import Problem, ResolveError
from specs.edit import EditError
from specs.fill_in import FILL_IN, LEFT
from specs.loading import shown_path
from specs.problems import SpecProblem
from targets.commands.command import in_words, refusal
from targets.commands.whole_file import write_whole
from targets.resolver.problems import as_resolve_error


def edit_spec(path: Path, edit: Callable[[str], str]) -> None:
    """Write the file again. Raises ResolveError with all that is wrong, and then the file was left.

    What was wrong with the file before does not keep anyone from adding to it. What the edit
    marks for the person to fill in is not held against it.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        new = edit(text)
        before = {_identity(problem) for problem in problems_of(text, path)}
        added = [
            problem
            for problem in problems_of(new, path)
            if _identity(problem) not in before and FILL_IN not in problem.source_line
        ]
        if added:
            raise specs.SpecError(added)
        write_whole(path, new.encode("utf-8"))
    except specs.SpecError as error:
        left = Problem(f"{shown_path(path)} was left as it is")
        raise ResolveError([*as_resolve_error(error).problems, left]) from None
    except OSError as error:
        raise refusal(in_words(error)) from None
    except (UnicodeDecodeError, EditError) as error:
        raise refusal(f"{shown_path(path)}: {error}") from None


def problems_of(text: str, path: Path) -> list[SpecProblem]:
    """Everything that is wrong with a spec's text."""
    try:
        specs.load_text(text.removeprefix("\ufeff"), shown_path(path))
    except specs.SpecError as error:
        return error.problems
    return []


def left_to_fill_in(text: str, path: Path) -> list[SpecProblem]:
    """What the text leaves to the person, as problems with their lines."""
    return [problem for problem in problems_of(text, path) if problem.message.startswith(LEFT)]


def as_written(folder: Path, spec: Path) -> str:
    """A folder as the spec writes it: relative to it, where it lies below.

    Not resolved: `models` may be a link, and is what the person wrote.
    """
    root = Path(os.path.abspath(spec.parent))  # noqa: PTH100
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100
    if not folder.is_absolute() or root in absolute.parents:
        return Path(os.path.relpath(absolute, root)).as_posix()
    return absolute.as_posix()


def name_from(source: str) -> str:
    """A teacher's name from its folder's: `models/Qwen3-8B/` -> `qwen3-8b`."""
    last = Path(source.rstrip("/")).name.lower()
    return re.sub(r"[^a-z0-9_.-]+", "-", last).strip("-._") or "teacher"


def _identity(problem: SpecProblem) -> tuple[str, str, str]:
    """What makes two problems the same one, wherever the line has gone."""
    return problem.field, problem.message, problem.source_line
