"""Shows a build while it goes on: what runs, how far it is, how long the rest will take.

Everything goes to one stream (standard error), never to standard output. On a terminal it is a
live picture (`live_display.py`), elsewhere a line at a time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from nexusbuild.readable import escape_controls, readable_estimate, readable_figures
from nexusbuild.show.watch import Display, format_ending

if TYPE_CHECKING:
    from nexusbuild.process.executor import ProgressEvent

LINE_SECONDS = 10.0


def open_display(stream: TextIO, quiet: bool = False) -> Display:
    """The display that suits the stream. quiet: failures alone."""
    if quiet:
        return QuietDisplay(stream)
    if stream.isatty() and os.environ.get("TERM", "") != "dumb":
        from nexusbuild.show.live_display import LiveDisplay

        return LiveDisplay(stream)
    return PlainDisplay(stream)


class PlainDisplay(Display):
    """A line when a target starts and ends, and at most one each LINE_SECONDS in between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream
        self._last_line: dict[str, float] = {}

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        super().planned(expected, after, jobs)
        if expected:
            left = self.overall(fresh=True).seconds_left or 0.0
            count = f"{len(expected)} target{'' if len(expected) == 1 else 's'}"
            self._line(f"{count} to build, about {readable_estimate(left)}")

    def progress(self, event: ProgressEvent) -> None:
        with self.lock:
            known = self.estimator.running.get(event.target)
            begins = known is None or not known.begun
            super().progress(event)
            now = self.clock()
            if begins:
                self._last_line[event.target] = now
                self._line(f"{event.target}: started{self._place()}")
            elif now - self._last_line[event.target] >= LINE_SECONDS:
                self._last_line[event.target] = now
                self._line(f"{event.target}: {self._how_far(event.target, now)}{self._place()}")

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        with self.lock:
            super().finished(target, state, seconds)
            self._line(
                f"{target}: {format_ending(state, seconds, detail)}{self._place(fresh=True)}"
            )

    def note(self, text: str) -> None:
        self._line(text)

    def _how_far(self, target: str, now: float) -> str:
        running = self.estimator.running[target]
        fraction = running.fraction
        left = readable_estimate(self.estimator.target_seconds_left(target, now))
        parts = [] if fraction is None else [f"{100 * fraction:.0f} %"]
        parts += [f"{left} left", readable_figures(running.figures)]
        return ", ".join(part for part in parts if part)

    def _place(self, fresh: bool = False) -> str:
        overall = self.overall(fresh)
        if overall.seconds_left is None:
            return ""
        count = f"{overall.finished} of {overall.total} done"
        if overall.finished >= overall.total:
            return f"  ({count})"
        return f"  ({count}, about {readable_estimate(overall.seconds_left)} left)"

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError), self.lock:  # nobody reads any more
            self._stream.write(escape_controls(text) + "\n")
            self._stream.flush()


class QuietDisplay(Display):
    """Says which targets failed, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        if state == "failed":
            with contextlib.suppress(OSError, ValueError):
                line = f"{target}: {format_ending(state, seconds, detail)}"
                self._stream.write(escape_controls(line) + "\n")
                self._stream.flush()
