"""Shows a build while it goes on: what runs, how far it is, how long the rest will take.

Everything goes to one stream (standard error), never to standard output. On a terminal it is a
live picture (`live_display.py`), elsewhere a line at a time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from nexusbuild.readable import readable_estimate, readable_figures
from nexusbuild.show.watch import WatchedBuild, format_ending

if TYPE_CHECKING:
    from nexusbuild.process.executor import ProgressEvent

LINE_SECONDS = 10.0


class Display(Protocol):
    """What the engine tells a display. Called from several threads."""

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        """What this build will do. expected: target -> seconds; after: target -> its inputs."""
        ...

    def started(self, target: str) -> None:
        """The target was handed to the executor."""
        ...

    def progress(self, event: ProgressEvent) -> None:
        """The target goes on; its first event says that it really runs."""
        ...

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        """The target ended in `state` (`built`, `cached`, `failed`, `skipped`, ...). passed: it has
        no verdict, or passed.
        """
        ...

    def note(self, text: str) -> None:
        """Something worth knowing."""
        ...

    def close(self) -> None:
        """The build is over; leave the stream clean."""
        ...


def open_display(stream: TextIO, quiet: bool = False) -> Display:
    """The display that suits the stream. quiet: failures alone."""
    if quiet:
        return QuietDisplay(stream)
    if stream.isatty() and os.environ.get("TERM", "") != "dumb":
        from nexusbuild.show.live_display import LiveDisplay

        return LiveDisplay(stream)
    return PlainDisplay(stream)


class PlainDisplay:
    """A line when a target starts and ends, and at most one each LINE_SECONDS in between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._watch = WatchedBuild(clock)
        self._last_line: dict[str, float] = {}

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        self._watch.planned(expected, after, jobs)
        if expected:
            left = self._watch.overall(fresh=True).seconds_left or 0.0
            count = f"{len(expected)} target{'' if len(expected) == 1 else 's'}"
            self._line(f"{count} to build, about {readable_estimate(left)}")

    def started(self, target: str) -> None:
        self._watch.started(target)

    def progress(self, event: ProgressEvent) -> None:
        with self._watch.lock:
            known = self._watch.estimator.running.get(event.target)
            begins = known is None or not known.begun
            self._watch.progress(event)
            now = self._watch.clock()
            if begins:
                self._last_line[event.target] = now
                self._line(f"{event.target}: started{self._place()}")
            elif now - self._last_line[event.target] >= LINE_SECONDS:
                self._last_line[event.target] = now
                self._line(f"{event.target}: {self._how_far(event.target, now)}{self._place()}")

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        with self._watch.lock:
            self._watch.finished(target, state, seconds)
            self._line(
                f"{target}: {format_ending(state, seconds, detail)}{self._place(fresh=True)}"
            )

    def note(self, text: str) -> None:
        self._line(text)

    def close(self) -> None:
        """Nothing to put in order: every line is whole."""

    def _how_far(self, target: str, now: float) -> str:
        running = self._watch.estimator.running[target]
        fraction = running.fraction
        left = readable_estimate(self._watch.estimator.target_seconds_left(target, now))
        parts = [] if fraction is None else [f"{100 * fraction:.0f} %"]
        parts += [f"{left} left", readable_figures(running.figures)]
        return ", ".join(part for part in parts if part)

    def _place(self, fresh: bool = False) -> str:
        overall = self._watch.overall(fresh)
        if overall.seconds_left is None:
            return ""
        count = f"{overall.finished} of {overall.total} done"
        if overall.finished >= overall.total:
            return f"  ({count})"
        return f"  ({count}, about {readable_estimate(overall.seconds_left)} left)"

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError), self._watch.lock:  # nobody reads any more
            self._stream.write(text + "\n")
            self._stream.flush()


class QuietDisplay:
    """Says which targets failed, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        """Not shown."""

    def started(self, target: str) -> None:
        """Not shown."""

    def progress(self, event: ProgressEvent) -> None:
        """Not shown."""

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        if state == "failed":
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{target}: {format_ending(state, seconds, detail)}\n")
                self._stream.flush()

    def note(self, text: str) -> None:
        """Not shown."""

    def close(self) -> None:
        """Nothing to put in order."""
