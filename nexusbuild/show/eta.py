"""How long a build will take: what is expected of each target, and how the build goes so far.

Pure bookkeeping over times that it is given; shows nothing and reads no clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nexusbuild.rule.graph import Graph, Target
from nexusbuild.rule.record import Record

# Expectations weigh as much as this many seconds of observation when the two are compared, so that
# one target of half a second does not turn the estimate of an hour around.
PRIOR_SECONDS = 5.0
# From this fraction on, a target's own pace alone says how long it takes.
TRUSTED_FRACTION = 0.25
_SMALLEST_FRACTION = 0.02


@dataclass
class RunningTarget:
    """A target that was handed to the executor. Times in seconds of the display's clock.

    begun: its process runs; before that it waits for its share of the machine.
    round_since, round_from: when it last began to count again (another round of training, steps
    rolled back), and the fraction at which it did; its pace is that since then.
    """

    since: float
    begun: bool = False
    done: float = 0.0
    total: float = 0.0
    figures: Mapping[str, float | str] = field(default_factory=dict)
    round_since: float | None = None
    round_from: float = 0.0

    def report(
        self, done: float, total: float, figures: Mapping[str, float | str], now: float
    ) -> None:
        """Take what the target says of itself."""
        before = self.fraction
        self.done, self.total, self.figures = done, total, figures
        if before is not None and self.fraction is not None and self.fraction < before:
            self.round_since, self.round_from = now, self.fraction

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1; None where that is unknown."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else None

    def own_seconds(self, now: float) -> float | None:
        """Its whole duration, judged by its own pace; None where it is too early to say."""
        fraction = self.fraction
        if fraction is None or fraction - self.round_from < _SMALLEST_FRACTION:
            return None
        round_since = self.since if self.round_since is None else self.round_since
        seconds_each = (now - round_since) / (fraction - self.round_from)
        return (now - self.since) + (1.0 - fraction) * seconds_each


class Estimator:
    """The state of one build, and the time left as it follows from that."""

    def __init__(self) -> None:
        self.expected: dict[str, float] = {}
        self.after: dict[str, tuple[str, ...]] = {}
        self.jobs = 1
        self.running: dict[str, RunningTarget] = {}
        self.finished: dict[str, str] = {}
        self._observed: dict[str, tuple[float, float]] = {}  # kind -> (actual, expected) seconds

    def plan(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        """Set what is to be done. expected: target -> seconds; after: target -> its inputs."""
        self.expected = dict(expected)
        self.after = {target: tuple(earlier) for target, earlier in after.items()}
        self.jobs = jobs

    @property
    def total(self) -> int:
        """Targets of this build: planned, and those that ran without having been planned."""
        return len(self.expected.keys() | self.running.keys() | self.finished.keys())

    def start(self, target: str, now: float) -> None:
        self.running[target] = RunningTarget(now)

    def progress(
        self,
        target: str,
        done: float,
        total: float,
        figures: Mapping[str, float | str],
        now: float,
    ) -> None:
        running = self.running.setdefault(target, RunningTarget(now))
        if not running.begun:
            running.begun, running.since = True, now  # the wait before was not its own
        if total > 0:
            running.report(done, total, figures, now)

    def finish(self, target: str, state: str, seconds: float) -> None:
        self.running.pop(target, None)
        self.finished[target] = state
        if state == "built" and self.expected.get(target, 0.0) > 0:
            actual, expected = self._observed.get(_kind(target), (0.0, 0.0))
            self._observed[_kind(target)] = (actual + seconds, expected + self.expected[target])

    def seconds_left(self, now: float) -> float:
        """Seconds until all planned targets are done."""
        pace = self._paces(now)
        # The executor may have been handed more than it runs at once: those wait like the others.
        running = {
            target: self._left_of_running(target, now, pace)
            for target, state in self.running.items()
            if state.begun
        }
        waiting = {
            target: seconds * _pace_of(target, pace)
            for target, seconds in self.expected.items()
            if target not in running and target not in self.finished
        }
        return makespan(waiting, self.after, self.jobs, running)

    def target_seconds_left(self, target: str, now: float) -> float:
        """Seconds until a running target is done."""
        return self._left_of_running(target, now, self._paces(now))

    def _left_of_running(self, target: str, now: float, pace: Mapping[str, float]) -> float:
        running = self.running[target]
        elapsed = now - running.since if running.begun else 0.0
        seconds = self.expected.get(target, 0.0) * _pace_of(target, pace)
        own = running.own_seconds(now)
        if own is not None:
            trust = min(1.0, (running.fraction or 0.0) / TRUSTED_FRACTION)
            if seconds <= 0:
                trust = 1.0
            seconds = trust * own + (1 - trust) * seconds
        # What has overrun its expectation will not end this instant either.
        own_pace = own is not None and (running.fraction or 0.0) >= TRUSTED_FRACTION
        return max(seconds - elapsed, 0.0 if own_pace else 0.1 * elapsed)

    def _paces(self, now: float) -> dict[str, float]:
        """Kind -> actual over expected seconds, so far; "" is that of all kinds together.

        Targets that run count as far as they are done. A kind of which little has been seen is
        taken to go at the pace of all.
        """
        observed = dict(self._observed)
        for target, running in self.running.items():
            own = running.own_seconds(now)
            if own is not None and self.expected.get(target, 0.0) > 0:
                fraction = running.fraction or 0.0
                actual, expected = observed.get(_kind(target), (0.0, 0.0))
                observed[_kind(target)] = (
                    actual + fraction * own,
                    expected + fraction * self.expected[target],
                )
        actual = sum(seconds for seconds, _ in observed.values())
        expected = sum(seconds for _, seconds in observed.values())
        overall = (actual + PRIOR_SECONDS) / (expected + PRIOR_SECONDS)
        paces = {
            kind: (actual + PRIOR_SECONDS * overall) / (expected + PRIOR_SECONDS)
            for kind, (actual, expected) in observed.items()
        }
        return {**paces, "": overall}


def makespan(
    waiting: Mapping[str, float],
    after: Mapping[str, Collection[str]],
    jobs: int,
    running: Mapping[str, float],
) -> float:
    """Seconds until all is done, by list scheduling: whenever one of `jobs` places is free, the
    waiting target with the longest way to the end behind it goes first.

    waiting: target -> seconds it will take. running: target -> seconds it still takes.
    after: target -> what must be done before it; what is neither waiting nor running is done.
    """
    open_before = {
        target: sum(earlier in waiting or earlier in running for earlier in after.get(target, ()))
        for target in waiting
    }
    behind: dict[str, list[str]] = {}
    for target in waiting:
        for earlier in after.get(target, ()):
            behind.setdefault(earlier, []).append(target)
    way = _longest_ways(waiting, behind, open_before)
    ready = [(-way[target], target) for target, count in open_before.items() if not count]
    heapq.heapify(ready)
    ends = [(seconds, target) for target, seconds in running.items()]
    heapq.heapify(ends)
    now = 0.0
    while ends or ready:
        while ready and len(ends) < max(1, jobs):
            _, target = heapq.heappop(ready)
            heapq.heappush(ends, (now + waiting[target], target))
        now, target = heapq.heappop(ends)
        for later in behind.get(target, ()):
            open_before[later] -= 1
            if not open_before[later]:
                heapq.heappush(ready, (-way[later], later))
    return now


def _longest_ways(
    waiting: Mapping[str, float],
    behind: Mapping[str, Sequence[str]],
    open_before: Mapping[str, int],
) -> dict[str, float]:
    """Target -> seconds of the longest chain that starts with it."""
    way: dict[str, float] = {}
    for first in waiting:
        path = [first]
        while path:  # depth first, without recursion: chains may be long
            target = path[-1]
            unknown = [later for later in behind.get(target, ()) if later not in way]
            if unknown and target not in way:
                path.extend(unknown)
                continue
            path.pop()
            way[target] = waiting[target] + max(
                (way[later] for later in behind.get(target, ())), default=0.0
            )
    return way


def _kind(target: str) -> str:
    return target.partition(":")[0]


def _pace_of(target: str, paces: Mapping[str, float]) -> float:
    return paces.get(_kind(target), paces[""])


def expected_durations(
    graph: Graph, targets: Iterable[str], results: Mapping[str, Record]
) -> dict[str, float | None]:
    """target -> seconds, None where nothing is known. results: target -> its last result.

    A hint in the target (`expected_seconds`) scales its history when the hint has changed since,
    and, calibrated by how the other targets' hints fared here, stands in where there is none.
    """
    ratios = []
    for target, record in results.items():
        hint = graph[target].expected_seconds if target in graph.targets else None
        if hint and hint == record.provenance.get("expected_seconds"):
            ratios.append(_seconds(record) / hint)
    # The median (of an even number the upper one): `statistics` takes long to import.
    pace = sorted(ratios)[len(ratios) // 2] if ratios else 1.0
    return {each: _expected_seconds(graph[each], results.get(each), pace) for each in targets}


def _expected_seconds(target: Target, record: Record | None, pace: float) -> float | None:
    hint = target.expected_seconds
    if record is None:
        return hint * pace if hint is not None else None
    then = record.provenance.get("expected_seconds")
    if hint and isinstance(then, (int, float)) and then > 0:
        return _seconds(record) * hint / then
    return _seconds(record)


def _seconds(record: Record) -> float:
    seconds = record.provenance.get("seconds", 0.0)
    return float(seconds) if isinstance(seconds, (int, float)) else 0.0
