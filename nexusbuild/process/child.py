"""One target's life in its own process, from the fork to the exit.

Builds the real Job, calls the work, reports progress and the outcome. Everything that the work or
its libraries print goes to the target's log file.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, cast

from nexusbuild import errors
from nexusbuild.errors import WRONG
from nexusbuild.process.job import Job, Work
from nexusbuild.process.wire import write_line

PROGRESS_SECONDS = 0.2
_LONGEST_TEXT = 200  # characters of one figure; keeps a line below what a pipe writes whole
_PR_SET_PDEATHSIG = 1


def run_child(
    request: Mapping[str, Any], report: int, patience: float | None, server: int
) -> NoReturn:
    """Run the request and exit. Called right after the fork, in the child of process `server`."""
    status = 1
    try:
        atexit._clear()  # what the server's imports registered is the server's
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        heard = listen_for_signals()
        die_with_parent(server)
        redirect_to_log(request)
        status = _perform(request, report, patience, heard)
    except BaseException as error:  # the log or the process itself could not be set up
        traceback.print_exc()
        write_line(report, failure(error))
    finally:
        try:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def die_with_parent(server: int) -> None:
    """End this process when the server does, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(server,), daemon=True).start()
    if os.getppid() != server:  # it ended before this was arranged
        os._exit(1)


def _watch(server: int) -> None:
    while os.getppid() == server:
        time.sleep(0.5)
    os.killpg(os.getpid(), signal.SIGKILL)


def listen_for_signals() -> int:
    """A descriptor with the number of every signal that this process handles from now on, by any
    handler; reading never waits.
    """
    heard, noted = os.pipe()
    for end in (heard, noted):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(noted, warn_on_full_buffer=False)
    # Signals of a process that the work forks are not this one's.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    return heard


def _asked_to_stop(heard: int) -> bool:
    try:
        return signal.SIGTERM in os.read(heard, 65536)
    except BlockingIOError:
        return False


def redirect_to_log(request: Mapping[str, Any]) -> None:
    """Let standard output and standard error go to the log, below a line that says what this is."""
    log = Path(request["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    # No link is followed: build/ may have come with the project, from anyone.
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(nothing)
    os.close(descriptor)
    # The server's stream objects may be anything by now: a preloaded module can have changed them.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = os.fdopen(
            number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
    sys.argv = ["nexusbuild", request["target"]]
    faulthandler.enable()  # a crash in a library leaves its stack in the log
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    _say(f"{now}  {request['target']}  {request['work']}  process {os.getpid()}")


def _say(text: str) -> None:
    sys.stdout.write(f"== {text}\n")
    sys.stdout.flush()


def _perform(request: Mapping[str, Any], report: int, patience: float | None, heard: int) -> int:
    if not request["gpu"]:
        # A target that did not ask for the GPU must not find it: its memory was granted to another.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        if patience is None:
            work = import_work(request["work"])
        else:
            with give_up_after(patience, report):
                work = import_work(request["work"])
        work(job_of(request, report))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are failures here, too
        if not _asked_to_stop(heard):
            traceback.print_exc()
        elif isinstance(error, Exception):
            _say(message_for_a_person(error))  # a work that was asked to stop has not failed
        write_line(report, failure(error))
        return 1
    write_line(report, {"done": True})
    return 0


@contextmanager
def give_up_after(seconds: float, report: int) -> Iterator[None]:
    """Leave what lasts longer to a child of the warm server: this process asks for it, and ends.

    So what imports heavy libraries waits for those that are on their way, and what does not never
    has to. An exception would not do: torch goes on after one, with half of numpy in its hands.
    """

    def give_up(signum: int, frame: FrameType | None) -> None:
        os.write(1, b"== its imports take long: it starts again from the warm server\n")
        write_line(report, {"wants_warm": True})
        os._exit(0)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def import_work(name: str) -> Work:
    """The function that `package.module:function` names."""
    module_name, _, function = name.partition(":")
    module = importlib.import_module(module_name)
    work = getattr(module, function, None)
    if not callable(work):
        raise errors.no_work_function(module_name, function, name)
    return cast(Work, work)


def job_of(request: Mapping[str, Any], report: int) -> Job:
    """The Job that the request describes, reporting its progress to the pipe."""
    return Job(
        target=request["target"],
        settings=request["settings"],
        inputs={role: Path(path) for role, path in request["inputs"].items()},
        sources={role: Path(path) for role, path in request["sources"].items()},
        out=Path(request["out"]),
        scratch=Path(request["scratch"]),
        seed=request["seed"],
        threads=request["threads"],
        progress=ReportedProgress(lambda message: write_line(report, message)),
        ram_bytes=request["ram_bytes"],
        conduct=request["conduct"],
        code=request["code"],
        imported=tuple(request["imported"]),
        measured=lambda **figures: write_line(
            report, {"measured": {name: float(value) for name, value in figures.items()}}
        ),
        note=lambda text: write_line(report, {"note": text}),
    )


class ReportedProgress:
    """A Progress that sends at most one message each PROGRESS_SECONDS, and always the last."""

    def __init__(
        self, send: Callable[[Mapping[str, Any]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._next = -float("inf")
        self._complete = False

    def __call__(self, done: float, total: float, **figures: float | str) -> None:
        now = self._clock()
        complete = done >= total
        if now < self._next and not (complete and not self._complete):
            return
        self._next = now + PROGRESS_SECONDS
        self._complete = complete
        self._send(
            {
                "progress": [float(done), float(total)],
                "figures": {name: _figure(value) for name, value in figures.items()},
            }
        )


def _figure(value: float | str) -> float | str:
    # float() also of a tensor or an array with one element, as training loops have at hand
    return value[:_LONGEST_TEXT] if isinstance(value, str) else float(value)


def failure(error: BaseException) -> dict[str, Any]:
    """The report of a failure. An error with `exit_code` 2 blames what a person gave: a source."""
    wrong = getattr(error, "exit_code", None) == WRONG
    return {"failed": message_for_a_person(error), "wrong": wrong}


def message_for_a_person(error: BaseException) -> str:
    """What went wrong, in the words of the error; the traceback is in the log.

    Errors that speak to a person (those of the project, OSError, ValueError, ...) are shown as
    they are. Where the text alone would say nothing, the kind and the place of the error are added.
    """
    text = str(error).strip()
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return f"its work ended the process with exit status {error.code or 0}"
    if isinstance(error, MemoryError):
        return f"memory ran out: {text}" if text else "memory ran out"
    if errors.disk_is_full(error):
        return str(errors.no_room(str(getattr(error, "filename", None) or "")))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    bare = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
    if text and not (isinstance(error, bare) and type(error).__module__ == "builtins"):
        return text
    where = ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"
