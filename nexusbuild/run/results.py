"""Results of a build, target by target, and its exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.rule.plan import Step
from nexusbuild.rule.record import Record

if TYPE_CHECKING:
    from nexusbuild.show.watch import Display
    from nexusbuild.store.buildlog import BuildLog


@dataclass(frozen=True)
class TargetResult:
    """Result of one target. state: fresh, cached, built, failed, skipped or blocked."""

    step: Step
    state: str
    seconds: float = 0.0
    peak_rss_bytes: int = 0
    record: Record | None = None
    error: BuildError | None = None
    detail: str = ""

    @property
    def summary(self) -> str:
        """What there is to say of it in a few words."""
        if self.error is not None:
            return self.error.what
        if self.record is not None and self.record.verdict is not None:
            return str(self.record.verdict.get("summary", ""))
        return self.detail


@dataclass(frozen=True)
class BuildResult:
    """Result of a whole build."""

    results: dict[str, TargetResult] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    seconds: float = 0.0


class Reporter:
    """Takes the results of a build as they come in: keeps them, logs them, shows them."""

    def __init__(self, open_log: Callable[[], BuildLog]) -> None:
        self.results: dict[str, TargetResult] = {}
        self.notes: list[str] = []
        self.display: Display | None = None
        self._open_log = open_log
        self._log: BuildLog | None = None
        self._guard = threading.Lock()

    def add(self, result: TargetResult) -> None:
        target = result.step.target.id
        with self._guard:
            self.results[target] = result
            with suppress(OSError):  # a log that cannot be written must not hide the result
                self._write(target, result)
        if self.display is not None and result.state != "fresh":
            passed = result.record is None or result.record.passed
            self.display.finished(target, result.state, result.seconds, result.summary, passed)

    def _write(self, target: str, result: TargetResult) -> None:
        # A build that finds all as it left it is not worth a log.
        if self._log is None and result.state != "fresh":
            self._log = self._open_log()
        if self._log is not None:
            key = result.record.key if result.record is not None else result.step.key
            self._log.target(target, result.state, key, result.seconds, result.record is not None)

    def note(self, text: str) -> None:
        with self._guard:
            self.notes.append(text)
        if self.display is not None:
            self.display.note(text)

    def end(self, exit_code: int) -> None:
        """Nothing more is done: end the log."""
        if self._log is not None:
            with suppress(OSError):
                self._log.end(exit_code)


def exit_code(results: Iterable[TargetResult], interrupted: bool) -> int:
    """The command's: where several apply, an interruption, then 2, 1, 3."""
    found = list(results)
    if interrupted:
        return errors.INTERRUPTED
    codes = {result.error.exit_code for result in found if result.error is not None}
    if errors.WRONG in codes or any(result.state == "blocked" for result in found):
        return errors.WRONG
    if any(result.state == "failed" for result in found):
        return errors.FAILED
    if any(result.record is not None and not result.record.passed for result in found):
        return errors.VIOLATED
    return 0
