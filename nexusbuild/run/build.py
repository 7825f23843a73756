"""A build, from its plan to its result: refuse what cannot be built, build each target, finish.

`order` dispatches targets, `one_target` builds each, `commit` makes its result the current one and
`results` keeps account of them all.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from nexusbuild import errors
from nexusbuild.errors import BuildError, CannotFit, ResolveError
from nexusbuild.project import Project
from nexusbuild.readable import display_path
from nexusbuild.rule.lock import differences_from_lock
from nexusbuild.rule.plan import waits_for
from nexusbuild.run.build_plan import BuildPlan, lack_of_room, plan_build
from nexusbuild.run.commit import ResultCommitter
from nexusbuild.run.note import note_unchanged
from nexusbuild.run.results import BuildResult, Reporter, TargetResult, exit_code
from nexusbuild.show.eta import expected_durations

if TYPE_CHECKING:
    from nexusbuild.process.executor import Executor
    from nexusbuild.run.one_target import TargetBuilder
    from nexusbuild.run.plan_file import PlanFile
    from nexusbuild.show.watch import Display


# A build that took longer than this may take a little more, so that the next dry run is fast.
LONG_SECONDS = 5.0
# Longer than the grain of most clocks: what was written before that is known by its stat.
SETTLE_SECONDS = 0.15


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


class BuildRun:
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
        self._build_plan = plan_build(project, options.selected, options.forced)
        self._committer = ResultCommitter(project, self._build_plan.world)
        began = time.time()
        self._reporter = Reporter(lambda: self._committer.open_log(options.command, began))
        self._interrupted = False

    def run(self) -> BuildResult:
        began = time.monotonic()
        self._refuse_what_cannot_be()
        self._project.memory.remember(self._build_plan.world.today)
        if self._build_plan.running or self._release_lacks_files():
            self._dispatch()
        else:
            self._commit_all()
        return self._finish(began)

    def _refuse_what_cannot_be(self) -> None:
        """Before anything starts."""
        project, build_plan = self._project, self._build_plan
        if self._options.locked:
            differences = differences_from_lock(project.graph, project.lock, build_plan.world.today)
            if differences:
                raise errors.lock_differs(display_path(project.place.lock), differences)
        if self._options.plan is not None:
            self._options.plan.check(build_plan)
        steps = [build_plan.steps[target] for target in build_plan.targets]
        blocked = [error for step in steps if step.state == "blocked" for error in step.errors]
        if blocked and not self._options.keep_going:
            raise errors.several(blocked)
        lack = lack_of_room(project, build_plan.running)
        if lack is not None:
            raise lack

    def _release_lacks_files(self) -> bool:
        steps = [self._build_plan.steps[target] for target in self._build_plan.targets]
        return any(self._committer.lacks_files(step, self._reporter.note) for step in steps)

    def _commit_all(self) -> None:
        for target in self._build_plan.targets:
            step = self._build_plan.steps[target]
            if step.record is not None:
                self._committer.commit(step)
                self._reporter.add(TargetResult(step, step.state, record=step.record))

    def _dispatch(self) -> None:
        from nexusbuild.run.make import Producer
        from nexusbuild.run.one_target import TargetBuilder
        from nexusbuild.run.order import dispatch, modules_to_preload, sort_by_urgency

        gc.enable()  # from here on it may take hours
        project, build_plan = self._project, self._build_plan
        cores = len(os.sched_getaffinity(0))
        threads = self._options.jobs or 2 * cores + 8  # more than run at once: most of them wait
        running = build_plan.running
        expected = expected_durations(project.graph, running, project.results())
        executor = self._open_executor(modules_to_preload(build_plan))
        display = self._reporter.display = self._open_display()
        try:
            self._refuse_what_cannot_fit(executor, running)
            waits = {each: waits_for(build_plan.steps[each]) for each in build_plan.targets}
            display.planned(
                {target: seconds or 1.0 for target, seconds in expected.items()},
                {target: waits[target] for target in running},
                min(threads, cores),
            )
            producer = Producer(project, executor, display.progress)
            builder = TargetBuilder(
                project, build_plan, producer, self._committer, self._reporter, display.started
            )
            with self._signals(executor, builder):
                dispatch(
                    sort_by_urgency(build_plan, expected),
                    waits,
                    builder.has_result,
                    builder.make,
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
    def _signals(self, executor: Executor, builder: TargetBuilder) -> Iterator[None]:
        """Signals come here and go on to the children."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._interrupted = builder.interrupted = True
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

    def _finish(self, began: float) -> BuildResult:
        targets, found = self._build_plan.targets, self._reporter.results
        results = {
            target: found.get(target) or _never_begun(self._build_plan, target)
            for target in targets
        }
        code = exit_code(results.values(), self._interrupted)
        whole = set(targets) == set(self._project.graph.targets)
        self._committer.finish(whole)
        self._project.save_caches()
        self._reporter.end(code)
        if whole and all(result.state == "fresh" for result in results.values()):
            note_unchanged(self._project, self._build_plan)
        elif whole and code == 0 and time.monotonic() - began > LONG_SECONDS:
            self._note_what_was_made()
        sys.stdout.flush()
        return BuildResult(results, self._reporter.notes, code, time.monotonic() - began)

    def _note_what_was_made(self) -> None:
        """For the dry runs to come. What was made is planned once more, as the disk has it now."""
        time.sleep(SETTLE_SECONDS)
        with suppress(BuildError, ResolveError):  # of a spec that was edited meanwhile
            project = Project(self._project.place)
            project.save_caches()
            note_unchanged(project, plan_build(project, list(project.graph.targets)))


def _never_begun(build_plan: BuildPlan, target: str) -> TargetResult:
    step = build_plan.steps[target]
    state = "blocked" if step.state == "blocked" else "skipped"
    return TargetResult(step, state, error=errors.several(step.errors) if step.errors else None)
