"""What an error is: its kinds, the exit codes, and several errors as one."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

FAILED = 1
WRONG = 2
VIOLATED = 3
NOT_FRESH = 4
INTERRUPTED = 130

# What a machine refuses; any other OSError that nobody expected is a defect of the builder.
OF_THE_MACHINE = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG,
    errno.ENFILE, errno.ENOSPC, errno.EPERM, errno.EROFS,
}  # fmt: skip


class BuildError(Exception):
    """What is wrong, where, and what to do about it; `exit_code` is the command's."""

    def __init__(
        self, what: str, where: str = "", remedy: str = "", exit_code: int = WRONG
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return "\n    ".join([text, *self.remedy.splitlines()])

    def to_json(self) -> dict[str, str]:
        return {"message": self.what, "where": self.where, "remedy": self.remedy}


class CannotFit(BuildError):  # noqa: N818 (an answer, not a defect)
    """A target asks for more than this build may ever use."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what a person wrote: what, where, what to do."""

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    field: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        parts = [place, self.field, self.message]
        text = ": ".join(part for part in parts if part)
        return f"{text}\n    {self.remedy}" if self.remedy else text

    def to_json(self) -> dict[str, Any]:
        """As errors stand in the documents of `--json`."""
        return {
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "field": self.field,
            "remedy": self.remedy,
        }


class ResolveError(Exception):
    """The spec cannot be resolved to a graph; carries every problem found, not the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing where no name is like it."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(dict.fromkeys(names)), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def several(errors: Sequence[BuildError]) -> BuildError:
    """All of them as one, so that a person sees every problem at once."""
    if len(errors) == 1:
        return errors[0]
    return BuildError(
        f"{len(errors)} problems\n"
        + "\n".join(f"  {error}".replace("\n", "\n  ") for error in errors),
        exit_code=min(error.exit_code for error in errors),
    )
