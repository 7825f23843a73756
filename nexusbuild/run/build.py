"""A build, from its plan to its report: refuse what cannot be, give every target its turn, settle.

`dispatch` orders the turns, `turn` takes them, the executor works, `outcome` keeps the account.
A build that finds everything as it should be needs none of them but the last.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from nexusbuild import errors
from nexusbuild.errors import BuildError, CannotFit
from nexusbuild.near import near
from nexusbuild.project import Project
from nexusbuild.rule.closure import waits_for
from nexusbuild.rule.lock import differences_from_lock
from nexusbuild.run.commit import Settlement
from nexusbuild.run.results import Account, Report, Result, exit_code
from nexusbuild.run.selection import Proposal, proposed
from nexusbuild.run.store_room import lack_of_room
from nexusbuild.show.estimate import expected_durations

if TYPE_CHECKING:
    from nexusbuild.process.executor import Executor
    from nexusbuild.run.one_target import Turns
    from nexusbuild.run.plan_file import PlanFile
    from nexusbuild.show.progress import Display


@dataclass(frozen=True)
class Options:
    """How to build. selected, forced: ids. jobs: targets side by side, None for what fits.

    plan: what was planned earlier and is to be done exactly so, or not at all.
    """

    selected: Sequence[str]
    forced: Sequence[str] = ()
    jobs: int | None = None
    keep_going: bool = False
    locked: bool = False
    command: str = "nexusbuild"
    plan: PlanFile | None = None


class Build:
    """One run over one project. The builder's lock is held, and the store prepared."""

    def __init__(
        self,
        project: Project,
        options: Options,
        open_executor: Callable[[tuple[str, ...]], Executor],
        open_display: Callable[[], Display],
    ) -> None:
        """open_executor: is given the modules to import once. Neither is opened if nothing runs."""
        self._project = project
        self._options = options
        self._open_executor = open_executor
        self._open_display = open_display
        self._proposal = proposed(project, options.selected, options.forced)
        self._settlement = Settlement(project, self._proposal.world)
        began = time.time()
        self._account = Account(lambda: self._settlement.open_log(options.command, began))
        self._interrupted = False

    def run(self) -> Report:
        began = time.monotonic()
        self._refuse_what_cannot_be()
        self._project.memory.remember(self._proposal.world.facts)
        if self._proposal.running or self._release_lacks_files():
            self._dispatch()
        else:
            self._settle_all()
        return self._finish(began)

    def _refuse_what_cannot_be(self) -> None:
        """Before anything starts."""
        project, proposal = self._project, self._proposal
        if self._options.locked:
            differences = differences_from_lock(project.graph, project.lock, proposal.world.facts)
            if differences:
                raise errors.lock_differs(near(project.place.lock), differences)
        if self._options.plan is not None:
            self._options.plan.check(proposal)
        steps = [proposal.steps[target] for target in proposal.targets]
        blocked = [error for step in steps if step.state == "blocked" for error in step.errors]
        if blocked and not self._options.keep_going:
            raise errors.several(blocked)
        lack = lack_of_room(project, proposal.running)
        if lack is not None:
            raise lack

    def _release_lacks_files(self) -> bool:
        steps = [self._proposal.steps[target] for target in self._proposal.targets]
        return any(self._settlement.lacks_files(step, self._account.note) for step in steps)

    def _settle_all(self) -> None:
        for target in self._proposal.targets:
            step = self._proposal.steps[target]
            if step.record is not None:
                self._settlement.settle(step)
                self._account.done(Result(step, step.state, record=step.record))

    def _dispatch(self) -> None:
        from nexusbuild.run.dispatch import dispatch
        from nexusbuild.run.make import Producer
        from nexusbuild.run.one_target import Turns
        from nexusbuild.run.order import by_urgency, worth_preloading

        gc.enable()  # from here on it may take hours
        project, proposal = self._project, self._proposal
        cores = len(os.sched_getaffinity(0))
        threads = self._options.jobs or 2 * cores + 8  # more than run at once: most of them wait
        running = proposal.running
        expected = expected_durations(project.graph, running, project.results())
        executor = self._open_executor(worth_preloading(proposal))
        display = self._account.display = self._open_display()
        try:
            self._refuse_what_cannot_fit(executor, running)
            waits = {each: waits_for(proposal.steps[each]) for each in proposal.targets}
            display.planned(
                {target: seconds or 1.0 for target, seconds in expected.items()},
                {target: waits[target] for target in running},
                min(threads, cores),
            )
            producer = Producer(project, executor, display.progress)
            turns = Turns(
                project, proposal, producer, self._settlement, self._account, display.started
            )
            with self._signals(executor, turns):
                dispatch(
                    by_urgency(proposal, expected),
                    waits,
                    turns.has_its_result,
                    turns.make,
                    threads,
                    self._options.keep_going,
                )
        finally:
            executor.close()
            display.close()

    def _refuse_what_cannot_fit(self, executor: Executor, running: Sequence[str]) -> None:
        refused: list[BuildError] = []
        for target in running:
            try:
                executor.check(self._project.graph[target].needs, target)
            except CannotFit as error:
                refused.append(error)
        if refused:
            raise errors.several(refused)

    @contextmanager
    def _signals(self, executor: Executor, turns: Turns) -> Iterator[None]:
        """Signals come here and go on to the children."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._interrupted = turns.interrupted = True
            executor.interrupt()

        def forward(number: int, frame: FrameType | None) -> None:
            executor.forward(number)

        handlers = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
            signal.SIGHUP: stop,
            signal.SIGUSR1: forward,
            signal.SIGUSR2: forward,
        }
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, each)
            for number, each in handlers.items()
            if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _finish(self, began: float) -> Report:
        targets, found = self._proposal.targets, self._account.results
        results = {
            target: found.get(target) or _never_begun(self._proposal, target) for target in targets
        }
        code = exit_code(results.values(), self._interrupted)
        self._settlement.finish(whole=set(targets) == set(self._project.graph.targets))
        self._project.save_caches()
        self._account.end(code)
        sys.stdout.flush()
        return Report(results, self._account.notes, code, time.monotonic() - began)


def _never_begun(proposal: Proposal, target: str) -> Result:
    step = proposal.steps[target]
    state = "blocked" if step.state == "blocked" else "skipped"
    return Result(step, state, error=errors.several(step.errors) if step.errors else None)
