"""A build that is being watched: what is told of it, and how the end of a target is worded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexusbuild.readable import readable_seconds
from nexusbuild.show.eta import Estimator

if TYPE_CHECKING:
    from nexusbuild.process.executor import ProgressEvent

# The estimate simulates the whole rest of the build: once a second is often enough.
ESTIMATE_SECONDS = 1.0
ESTIMATE_SHARE = 0.02  # of the time at most


def format_ending(state: str, seconds: float, detail: str) -> str:
    """`built in 41 s`, `failed after 3.1 s: no such file`, `cached`. Of the detail, its first line:
    all of it follows when the build is over."""
    joint = {"built": " in ", "failed": " after "}.get(state)
    text = f"{state}{joint}{readable_seconds(seconds)}" if joint else state
    return f"{text}: {detail.splitlines()[0]}" if detail else text


@dataclass(frozen=True)
class Overall:
    """The build as a whole. seconds_left: None where nothing was planned."""

    finished: int
    total: int
    elapsed: float
    seconds_left: float | None


class Display:
    """What the engine tells about a build. Called from several threads.

    This one only keeps account; displays that show something are subclasses.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.estimator = Estimator()
        self.lock = threading.RLock()
        self.clock = clock
        self._since = clock()
        self._estimated = -float("inf")
        self._estimate_took = 0.0
        self._seconds_left = 0.0

    def overall(self, fresh: bool = False) -> Overall:
        """The build as a whole; `fresh` where the estimate must follow what has just changed."""
        with self.lock:
            now = self.clock()
            # A plan of many thousands takes a while to simulate; never spend the build on that.
            pause = (0.1 if fresh else 1.0) * ESTIMATE_SECONDS
            if now - self._estimated >= max(pause, self._estimate_took / ESTIMATE_SHARE):
                self._seconds_left = self.estimator.seconds_left(now)
                self._estimated = now
                self._estimate_took = self.clock() - now
            left = max(0.0, self._seconds_left - (now - self._estimated))
            return Overall(
                len(self.estimator.finished),
                self.estimator.total,
                now - self._since,
                left if self.estimator.expected else None,
            )

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        """What this build will do. expected: target -> seconds; after: target -> its inputs."""
        with self.lock:
            self.estimator.plan(expected, after, jobs)
            self._estimated = -float("inf")
            self._estimate_took = 0.0

    def started(self, target: str) -> None:
        """The target was handed to the executor."""
        with self.lock:
            self.estimator.start(target, self.clock())

    def progress(self, event: ProgressEvent) -> None:
        """The target goes on; its first event says that it really runs."""
        with self.lock:
            self.estimator.progress(
                event.target, event.done, event.total, event.figures, self.clock()
            )

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        """The target ended in `state` (`built`, `cached`, `failed`, `skipped`, ...). passed: it has
        no verdict, or passed.
        """
        with self.lock:
            self.estimator.finish(target, state, seconds)

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def close(self) -> None:
        """The build is over; leave the stream clean."""
