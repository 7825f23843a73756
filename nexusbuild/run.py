"""A build: doit orders and dispatches, this decides, the executor works.

Every target is a doit task whose one `uptodate` object asks the plan's own rule, when its turn
has come and its inputs are known. doit's database decides nothing and is thrown away.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from nexusbuild import errors
from nexusbuild.buildlog import BuildLog
from nexusbuild.closure import closure, waits_for
from nexusbuild.errors import BuildError
from nexusbuild.estimate import expected_durations
from nexusbuild.executor import CannotFit, Executor
from nexusbuild.graph import input_target
from nexusbuild.lock import differences_from_lock
from nexusbuild.plan import Step, judged, planned
from nexusbuild.produce import Producer, missing_outputs
from nexusbuild.progress import Display
from nexusbuild.project import Project
from nexusbuild.record import Output, Record
from nexusbuild.settle import Settlement

# Imports are paid once for all from this many targets on; below it, each pays for what it needs.
WORTH_PRELOADING = 3


@dataclass(frozen=True)
class Options:
    """How to build. forced: ids. jobs: targets side by side, None for what fits."""

    selected: Sequence[str]
    forced: Sequence[str] = ()
    jobs: int | None = None
    keep_going: bool = False
    locked: bool = False
    command: str = "nexusbuild"


@dataclass(frozen=True)
class Result:
    """What became of one target. state: fresh, cached, built, failed, skipped or blocked."""

    step: Step
    state: str
    seconds: float = 0.0
    peak_rss_bytes: int = 0
    record: Record | None = None
    error: BuildError | None = None
    detail: str = ""


@dataclass
class Report:
    """What became of a build."""

    results: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    seconds: float = 0.0


class Build:
    """One run over one project. The builder's lock is held, and the store prepared."""

    def __init__(
        self,
        project: Project,
        options: Options,
        executor: Callable[[tuple[str, ...]], Executor],
        display: Display,
    ) -> None:
        self._project = project
        self._options = options
        self._open_executor = executor
        self._display = display
        self._world = project.world(options.forced)
        self._settlement = Settlement(project, self._world)
        self._steps = planned(self._world, project.to_publish(options.selected))
        self._targets = closure(self._world, self._steps, options.selected)
        self._report = Report()
        self._guard = threading.RLock()
        self._making = {target: threading.Lock() for target in project.graph.targets}
        self._interrupted = False
        self._producer: Producer | None = None
        self._log: BuildLog | None = None

    def run(self) -> Report:
        began = time.monotonic()
        project = self._project
        if self._options.locked:
            differences = differences_from_lock(project.graph, project.lock, self._world.facts)
            if differences:
                raise errors.lock_differs(str(project.place.lock), differences)
        blocked = [
            error
            for target in self._targets
            if self._steps[target].state == "blocked"
            for error in self._steps[target].errors
        ]
        if blocked and not self._options.keep_going:
            raise errors.several(blocked)
        project.memory.remember(self._world.facts)
        steps = [self._steps[target] for target in self._targets]
        if any(step.runs or self._lacks_files(step) for step in steps):
            self._dispatch()
        else:
            for target in self._targets:
                if self._steps[target].record is not None:
                    self._settle(self._steps[target])
        self._finish(began)
        return self._report

    # One target's turn

    def _has_its_result(self, target: str) -> bool:
        """doit's question. True: it needs no run, and its result is settled."""
        if self._interrupted:
            return False
        try:
            step = judged(self._project.graph[target], self._world, self._steps)
            with self._guard:
                self._steps[target] = step
            if step.record is None or self._lacks_files(step):
                return False
            self._settle(step)
        except BuildError as error:
            self._done(Result(self._steps[target], "failed", error=error))
            return False
        except OSError as error:
            refused = errors.system(target, error)
            self._done(Result(self._steps[target], "failed", error=refused))
            return False
        return True

    def _lacks_files(self, step: Step) -> bool:
        """Whether it is to be published, and its files are not all there with all their bytes."""
        record = step.record
        if not step.target.release or record is None:
            return False
        if self._project.is_published(step.target.id, record):
            return False
        store = self._project.store
        lacking = [output for output in record.outputs if not store.verified(output)]
        for output in lacking:
            if store.object(output.sha256).exists():
                store.discard(output)
                self._note(f"{step.target.id}: {output.path} was damaged; it is made again")
        return bool(lacking)

    def _build(self, target: str) -> bool:
        """doit's action. True: the target has its result."""
        step = self._steps[target]
        if target in self._report.results or self._interrupted:
            return False
        if step.state == "blocked":
            self._done(Result(step, "blocked", error=errors.several(step.errors)))
            return False
        self._display.started(target)
        try:
            self._restore_inputs(step)
            return self._make(self._steps[target])
        except BuildError as error:
            self._done(Result(step, "failed", error=error))
        except OSError as error:
            self._done(Result(step, "failed", error=errors.system(target, error)))
        except Exception as error:
            # A defect of the builder: the other targets' results are still worth finishing.
            import traceback

            text = traceback.format_exc()
            self._done(Result(step, "failed", error=errors.defect(target, text)))
            self._report.notes.append(f"{target}: {type(error).__name__} in the builder itself")
        return False

    def _make(self, step: Step) -> bool:
        assert self._producer is not None
        target = step.target
        inputs = {role: self._steps[input_target(ref)] for role, ref in target.inputs.items()}
        made = self._producer.make(step, inputs, self._world.facts)
        if made.record is not None:
            whole = replace(step, key=made.record.key, record=made.record)
            with self._guard:
                self._steps[target.id] = whole
            self._settlement.settle(whole, built=True)
            self._done(Result(step, "built", made.seconds, made.peak_rss_bytes, made.record))
            return True
        if made.candidate is not None:
            detail = "a contract is not met; the candidate is in build/candidate"
            self._done(Result(step, "skipped", made.seconds, made.peak_rss_bytes, detail=detail))
            return True
        state = "skipped" if self._interrupted else "failed"
        self._done(Result(step, state, made.seconds, made.peak_rss_bytes, error=made.error))
        return False

    def _restore_inputs(self, step: Step) -> None:
        """Make the files of its inputs again where they are gone, or damaged."""
        for reference in step.target.inputs.values():
            name = input_target(reference)
            with self._making[name]:
                damaged = self._damaged(step, reference)
                for output in damaged:
                    self._project.store.discard(output)
                if damaged or missing_outputs(self._steps[name], reference, self._project):
                    self._restore(self._steps[name])

    def _damaged(self, step: Step, reference: str) -> list[Output]:
        """What enters a release is hashed in full, whatever its stat says."""
        record = self._steps[input_target(reference)].record
        if not step.target.release or record is None:
            return []
        store = self._project.store
        found = [
            output
            for output in record.files(reference)
            if store.sound(output) and not store.verified(output)
        ]
        for output in found:
            self._note(f"{reference}: {output.path} was damaged in the store; it is made again")
        return found

    def _restore(self, step: Step) -> None:
        name, before = step.target.id, step.record
        self._display.started(name)
        self._restore_inputs(step)
        if not self._make(step):
            error = self._report.results[name].error
            assert error is not None, f"{name} was not made, and nothing says why"
            raise error
        after = self._steps[name].record
        if before is not None and after is not None and before.digest != after.digest:
            self._note(f"{name} did not come out as before: its work is not reproducible")

    def _settle(self, step: Step) -> None:
        self._settlement.settle(step)
        self._done(Result(step, step.state, record=step.record))

    def _done(self, result: Result) -> None:
        target = result.step.target.id
        with self._guard:
            self._report.results[target] = result
            with suppress(OSError):  # a log that cannot be written must not hide what became of it
                if self._log is None and result.state != "fresh":
                    self._log = self._settlement.open_log(self._options.command)
                if self._log is not None:
                    key = result.record.key if result.record is not None else result.step.key
                    self._log.target(
                        target, result.state, key, result.seconds, result.record is not None
                    )
        if self._producer is not None and result.state != "fresh":
            detail = result.detail
            if result.error is not None:
                detail = result.error.what
            elif result.record is not None and result.record.verdict is not None:
                detail = str(result.record.verdict.get("summary", ""))
            self._display.finished(target, result.state, result.seconds, detail)

    def _note(self, text: str) -> None:
        with self._guard:
            self._report.notes.append(text)
        self._display.note(text)

    # The whole

    def _dispatch(self) -> None:
        executor = self._open_executor(self._worth_preloading())
        try:
            self._refuse_what_cannot_fit(executor)
            self._producer = Producer(self._project, executor, self._display.progress)
            jobs = self._options.jobs or 2 * len(os.sched_getaffinity(0)) + 8
            running = [target for target in self._targets if self._steps[target].runs]
            expected = self._expected(running)
            self._display.planned(
                {target: seconds or 1.0 for target, seconds in expected.items()},
                {target: waits_for(self._steps[target]) for target in running},
                min(jobs, len(os.sched_getaffinity(0))),
            )
            with self._signals(executor):
                self._run_doit(jobs, self._by_urgency(expected))
        finally:
            executor.close()
            self._display.close()

    def _worth_preloading(self) -> tuple[str, ...]:
        """Of the modules to import once, those that pay: few targets import sooner themselves."""
        facts, graph = self._world.facts, self._project.graph
        wanted = {name.partition(".")[0] for name in graph.preload}
        running = [graph[target] for target in self._targets if self._steps[target].runs]
        used = [wanted.intersection(facts.code_of(target).libraries) for target in running]
        heavy = [libraries for libraries in used if libraries]
        if len(heavy) < WORTH_PRELOADING:
            return ()
        tops = set().union(*heavy)
        return tuple(name for name in graph.preload if name.partition(".")[0] in tops)

    def _run_doit(self, jobs: int, targets: Sequence[str]) -> None:
        from doit.cmd_base import TaskLoader2
        from doit.doit_cmd import DoitMain
        from doit.task import dict_to_task

        tasks = [
            dict_to_task(
                {
                    "name": _task_name(target),
                    "actions": [(self._build, [target])],
                    "uptodate": [(self._has_its_result, [target])],
                    "task_dep": [_task_name(each) for each in waits_for(self._steps[target])],
                    "io": {"capture": False},
                }
            )
            for target in targets
        ]

        class Loader(TaskLoader2):  # type: ignore[misc]
            """Hands doit these tasks."""

            def setup(self, opt_values: Any) -> None:
                pass

            def load_doit_config(self) -> dict[str, Any]:
                return {"dep_file": "", "backend": "unwritten", "reporter": "zero"}

            def load_tasks(self, cmd: Any, pos_args: Any) -> list[Any]:
                return tasks

        arguments = ["run", "-n", str(min(jobs, len(tasks))), "-P", "thread"]
        if self._options.keep_going:
            arguments.append("--continue")
        plugins = {"BACKEND": {"unwritten": "nexusbuild.doit_database:Unwritten"}}
        code = DoitMain(Loader(), config_filenames=(), extra_config=plugins).run(arguments)
        if code == 3:
            raise RuntimeError("doit ended early; its message stands above")

    def _by_urgency(self, expected: Mapping[str, float | None]) -> list[str]:
        """What the most work hangs on comes first."""
        wait: dict[str, float] = {}
        for target in reversed(self._targets):
            own = expected.get(target) or 0.0
            wait[target] = wait.get(target, 0.0) + own + 1e-3
            for each in waits_for(self._steps[target]):
                wait[each] = max(wait.get(each, 0.0), wait[target])
        return sorted(self._targets, key=lambda target: -wait[target])

    def _expected(self, running: Sequence[str]) -> dict[str, float | None]:
        return expected_durations(self._project.graph, running, self._project.results())

    def _refuse_what_cannot_fit(self, executor: Executor) -> None:
        refused: list[BuildError] = []
        for target in self._targets:
            if self._steps[target].runs:
                try:
                    executor.check(self._project.graph[target].needs, target)
                except CannotFit as error:
                    refused.append(error)
        if refused:
            raise errors.several(refused)

    @contextmanager
    def _signals(self, executor: Executor) -> Iterator[None]:
        """Signals come here and go on to the children."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._interrupted = True
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
        before = {number: signal.signal(number, each) for number, each in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _finish(self, began: float) -> None:
        results = self._report.results
        for target in self._targets:
            if target not in results:
                step = self._steps[target]
                state = "blocked" if step.state == "blocked" else "skipped"
                error = errors.several(step.errors) if step.errors else None
                results[target] = Result(step, state, error=error)
        self._report.results = {target: results[target] for target in self._targets}
        self._report.exit_code = self._exit_code()
        self._report.seconds = time.monotonic() - began
        self._settlement.finish(whole=set(self._targets) == set(self._project.graph.targets))
        self._project.save_caches()
        if self._log is not None:
            with suppress(OSError):
                self._log.end(self._report.exit_code)
        sys.stdout.flush()

    def _exit_code(self) -> int:
        results = self._report.results.values()
        if self._interrupted:
            return errors.INTERRUPTED
        codes = {result.error.exit_code for result in results if result.error is not None}
        if errors.WRONG in codes or any(result.state == "blocked" for result in results):
            return errors.WRONG
        if any(result.state == "failed" for result in results):
            return errors.FAILED
        if any(result.record is not None and not result.record.passed for result in results):
            return errors.VIOLATED
        return 0


def _task_name(target: str) -> str:
    """A target's id without what doit reads a meaning into."""
    return target.replace("%", "%25").replace("=", "%3D").replace("*", "%2A")
