"""Runs targets: the seam between the engine, which decides, and a machine, which does the work.

`Executor` is what the engine knows; another one (a cluster) may stand in its place. `LocalExecutor`
runs each target in a child forked from a warm process on this machine.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nexusbuild import errors
from nexusbuild.errors import CannotFit
from nexusbuild.process.ending import Ending, Lines
from nexusbuild.process.job import Job
from nexusbuild.process.resources import Budget
from nexusbuild.process.server_handle import ServerEndedError, ServerHandle
from nexusbuild.rule.graph import Needs

__all__ = ["CannotFit", "Executor", "LocalExecutor", "Outcome", "ProgressEvent"]

# A target whose imports take longer than this waits for the warm server instead; one whose imports
# are light never waits for it.
PATIENCE_SECONDS = 1.0
LONGEST_WAIT = 500  # milliseconds
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    seconds: from the start of the process to its end; waiting for resources is not counted.
    peak_rss_bytes: of the child alone, what it shares with the warm server included.
    error: a message for a person, "" when ok; the traceback is in the log.
    wrong: the work says that a source is at fault, not the work itself.
    measured: what the work measured of its own run. notes: what it says of its result.
    """

    ok: bool
    seconds: float
    peak_rss_bytes: int
    error: str
    wrong: bool = False
    measured: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class ProgressEvent:
    """How far a running target is: `done` of `total`; total 0 while that is unknown."""

    target: str
    done: float
    total: float
    figures: dict[str, float | str]


class Executor(Protocol):
    """What the engine needs of an executor."""

    def run(
        self,
        job: Job,
        work: str,
        needs: Needs,
        log: Path,
        on_progress: Callable[[ProgressEvent], None],
    ) -> Outcome:
        """Run `work` (`package.module:function`) on `job`, and wait for its end.

        Called from several threads at once. The job's own `progress` is not used: `on_progress` is
        called, on this thread, first when the target really starts (total 0), then as it goes on.
        """
        ...

    def check(self, needs: Needs, target: str) -> None:
        """Raise CannotFit where the target could not run here even alone."""
        ...

    def interrupt(self) -> None:
        """Stop what runs, start nothing more; every `run` returns soon. A handler may call it."""
        ...

    def forward(self, signum: int) -> None:
        """Send a signal to every running target. A signal handler may call it."""
        ...

    def close(self) -> None:
        """End every process this executor started."""
        ...


class LocalExecutor:
    """Runs targets on this machine, each in a child forked from a process that is warm.

    preload: modules imported once. While that goes on, a second, plain process serves targets that
    need none of them, so a build of light targets never waits for heavy libraries.
    ram_bytes, vram_bytes, threads: what targets side by side may use; by default what there is.
    held: a descriptor that every child keeps open while it lives, such as the store's lock.
    """

    def __init__(
        self,
        preload: tuple[str, ...] = (),
        ram_bytes: int | None = None,
        vram_bytes: int | None = None,
        threads: int | None = None,
        grace_seconds: float = 20.0,
        held: int | None = None,
    ) -> None:
        self.budget = Budget(ram_bytes, vram_bytes, threads)
        self._preload = preload
        self._held = held
        self._grace_seconds = grace_seconds
        self._lock = threading.Condition()
        self._servers: list[ServerHandle] = []
        self._plain: ServerHandle | None = None
        self._warm: ServerHandle | None = None
        self._runs = 0
        self._closed = False
        self._interrupted = False
        # Readable from the interruption on: it wakes every run, and to write to it takes no lock.
        self._alarm, self._ring = os.pipe()

    def check(self, needs: Needs, target: str) -> None:
        self.budget.check(needs, target)

    def run(
        self,
        job: Job,
        work: str,
        needs: Needs,
        log: Path,
        on_progress: Callable[[ProgressEvent], None],
    ) -> Outcome:
        with self.budget.hold(needs, self._stopping) as granted:
            if not granted:
                return Outcome(False, 0.0, 0, INTERRUPTED)
            on_progress(ProgressEvent(job.target, 0.0, 0.0, {}))
            with self._lock:
                self._runs += 1
            try:
                return self._run(_request(job, work, log, needs), on_progress)
            finally:
                with self._lock:
                    self._runs -= 1
                    self._lock.notify_all()

    def interrupt(self) -> None:
        if not self._interrupted:
            self._interrupted = True
            os.write(self._ring, b"!")

    def forward(self, signum: int) -> None:
        for server in tuple(self._servers):
            server.send(signum)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for server in self._servers:
            server.stop()
        with self._lock:
            self._lock.wait_for(lambda: self._runs == 0)
        for server in self._servers:
            server.close()
        os.close(self._alarm)
        os.close(self._ring)

    def _stopping(self) -> bool:
        return self._interrupted or self._closed

    def _run(
        self, request: dict[str, Any], on_progress: Callable[[ProgressEvent], None]
    ) -> Outcome:
        began = warm = False
        while not self._stopping():
            try:
                server = self._server(warm)
                report = server.start(request)
            except OSError as error:
                return Outcome(False, 0.0, 0, str(errors.no_process(str(error))))
            except ServerEndedError as gone:
                return Outcome(False, 0.0, 0, str(errors.server_ended(str(gone))))
            try:
                ending = self._follow(server, report, request["target"], on_progress)
            finally:
                os.close(report)
            began = began or ending.pid != 0
            if not ending.wants_warm or self._stopping():
                outcome = self._outcome(ending)
                if began and outcome.error == INTERRUPTED:
                    _note_stop(request["log"])
                return outcome
            warm = True
        return Outcome(False, 0.0, 0, INTERRUPTED)

    def _server(self, warm: bool) -> ServerHandle:
        """The server to ask: the warm one where it is warm or must be, else the plain one."""
        with self._lock:
            if self._closed:
                raise ServerEndedError("the executor was closed")
            if self._warm is None or not self._warm.alive:
                self._warm = ServerHandle(self._preload, held=self._held)
                self._servers.append(self._warm)
            if warm or not self._preload or self._warm.warm:
                return self._warm
            if self._plain is None or not self._plain.alive:
                self._plain = ServerHandle((), PATIENCE_SECONDS, self._held)
                self._servers.append(self._plain)
            return self._plain

    def _follow(
        self,
        server: ServerHandle,
        report: int,
        target: str,
        on_progress: Callable[[ProgressEvent], None],
    ) -> Ending:
        """Read one run's report to its end."""
        ending = Ending()
        lines = Lines(report)
        poller = select.poll()
        poller.register(report, select.POLLIN)
        poller.register(server.control.fileno(), 0)  # a hang-up alone: the server has ended
        poller.register(self._alarm, select.POLLIN)
        deadline: float | None = None
        while True:
            ready = dict(poller.poll(_timeout(deadline)))
            if self._alarm in ready:
                poller.unregister(self._alarm)
                server.terminate()
                deadline = time.monotonic() + self._grace_seconds
                if not ending.pid and not server.warm:
                    deadline = time.monotonic()  # it has not started
            if server.control.fileno() in ready and not ready.get(report, 0) & select.POLLIN:
                _await_end(ending.pid, poller, report, server)
                ending.server_ended = server.ending()
                return ending
            for message in lines.read() if ready.get(report) else ():
                if "progress" in message:
                    done, total = message["progress"]
                    on_progress(ProgressEvent(target, done, total, message["figures"]))
                ending.note(message)
                if ending.complete:
                    return ending
            if deadline is not None and time.monotonic() >= deadline:
                if not ending.pid:
                    ending.refused = INTERRUPTED
                    return ending
                server.send(signal.SIGKILL)
                deadline = time.monotonic() + self._grace_seconds

    def _outcome(self, ending: Ending) -> Outcome:
        ok = ending.done and ending.status == 0
        error = "" if ok else INTERRUPTED if self._stopping() else ending.error()
        wrong = not ok and ending.wrong and error != INTERRUPTED
        return Outcome(
            ok,
            ending.seconds,
            ending.peak_rss_bytes,
            error,
            wrong,
            ending.measured,
            tuple(ending.notes),
        )


def _timeout(deadline: float | None) -> int:
    """Milliseconds to wait at once. Never without end: a signal that arrives just before the wait
    begins does not end it, and its Python handler runs only when the main thread goes on."""
    if deadline is None:
        return LONGEST_WAIT
    return min(LONGEST_WAIT, max(0, math.ceil((deadline - time.monotonic()) * 1000)))


def _request(job: Job, work: str, log: Path, needs: Needs) -> dict[str, Any]:
    return {
        "target": job.target,
        "work": work,
        "log": log,
        "settings": job.settings,
        "inputs": job.inputs,
        "sources": job.sources,
        "out": job.out,
        "scratch": job.scratch,
        "seed": job.seed,
        "threads": job.threads,
        "ram_bytes": job.ram_bytes,
        "conduct": dict(job.conduct),
        "code": dict(job.code),
        "imported": job.imported,
        "gpu": needs.gpu,
    }


def _note_stop(log: Path) -> None:
    """The last line of what was stopped, whether or not it has heard so itself."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with (
        contextlib.suppress(OSError),
        os.fdopen(os.open(log, flags), "a", encoding="utf-8") as file,
    ):
        file.write("== stopped; the next build goes on from its last checkpoint, if it wrote one\n")


def _await_end(pid: int, poller: select.poll, report: int, server: ServerHandle) -> None:
    """The server is gone; see to it that the child and what it started are, too."""
    if not pid:
        return
    with contextlib.suppress(OSError):  # it may be gone already
        os.killpg(pid, signal.SIGKILL)
    poller.unregister(server.control.fileno())
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        # Only a process of that group could still hold the pipe open.
        ready = dict(poller.poll(100))
        if ready.get(report, 0) and not os.read(report, 65536):
            return
