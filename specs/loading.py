"""From a file to a `Spec`, or to every problem in it at once."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from specs.crosschecks import crosscheck_problems
from specs.document import Document, parse_document, read_document
from specs.fill_in import to_fill_in
from specs.model import Spec
from specs.problems import SpecError
from specs.validation import MOST_TOLD, validate


def load(path: Path) -> Spec:
    """The spec in a file. Raises SpecError with all that is wrong with it."""
    return _spec(read_document(path, shown_path(path)))


def load_text(text: str, file: str = "nexus.yaml") -> Spec:
    """The spec in a text; `file` is the name that messages use. Raises SpecError."""
    return _spec(parse_document(text, file))


def shown_path(path: Path) -> str:
    """The path as a person at this working directory would write it."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path.as_posix()


def _spec(document: Document) -> Spec:
    spec, problems, more = validate(document)
    crosschecked = list(islice(crosscheck_problems(document), MOST_TOLD))
    problems += [*document.problems, *crosschecked]
    left = list(islice(to_fill_in(document), MOST_TOLD))
    # What is left to fill in is wrong for that reason, and need not be said twice.
    lines = {problem.line for problem in left}
    problems = [*left, *(problem for problem in problems if problem.line not in lines)]
    if spec is None or problems:
        raise SpecError(problems, more)
    return spec
