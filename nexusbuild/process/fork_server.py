"""The warm process that targets are forked from: `main` is its whole life.

It imports the preload modules once, then forks a child for each request, sees to it that a child's
whole process group is gone when the child is, and reports how it ended. It holds no thread, so a
child starts clean. It ends, and its children with it, as soon as the builder is gone.
What happens inside a child is in `child.py`, the builder's side in `server_handle.py`, the form of
requests and reports in `wire.py`.

Between builder and server:
- control, a stream socket of requests. A child holds the store's lock, which comes with its
  request, as long as it lives: nobody else works in the store even where the builder is killed.
  The server sends one byte there when it is warm.
- signals, a pipe of bytes: each is a signal for every running child. SIGTERM also refuses whatever
  is asked later, so no request can slip past an interruption.
- a report pipe per run: `started`, the child's own lines, `ended` (always the last).

Why not `multiprocessing.forkserver`: it reaps a child at once and passes on its exit code alone. So
nobody learns the child's peak memory and processor time (`wait4`), and its process group cannot be
killed while its process id is still certain to be its own. There is one per process, with one set
of preloaded modules and the builder's environment; here a plain and a warm one run side by side,
with an environment of their own. A forked child imports the builder's `__main__` again, and neither
the store's lock nor signals to all children have a way through.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nexusbuild import errors
from nexusbuild.process.child import run_child
from nexusbuild.process.wire import WARM, receive_request, write_line


def main(arguments: list[str]) -> None:
    """Serve until the builder closes the control socket. Arguments: one JSON object."""
    options = json.loads(arguments[0])
    for signum in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        # The builder decides what a signal means for its children. They inherit that SIGUSR1 and
        # SIGUSR2 are ignored: work that does not know them must not die of them.
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the builder's thread may have blocked some
    control = socket.socket(fileno=options["control"])
    control.set_inheritable(False)
    os.set_inheritable(options["signals"], False)
    for module in options["preload"]:
        try:
            importlib.import_module(module)
        except Exception as error:  # the target that needs it will fail, and say so
            sys.stderr.write(f"{module} was not preloaded: {error}\n")
    gc.collect()
    gc.freeze()  # the collector then leaves these pages alone, and children go on sharing them
    Server(control, options["signals"], options["patience"]).serve()


@dataclass(frozen=True)
class Child:
    """A child and the pipe that its run reports to."""

    pid: int
    report: int
    since: float


class Server:
    """Forks, signals and reaps children, all on one thread, from one poll."""

    def __init__(self, control: socket.socket, signals: int, patience: float | None) -> None:
        self.control = control
        self.signals = signals
        self.patience = patience
        self.running: dict[int, Child] = {}
        self.refusing = False
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)

    def serve(self) -> None:
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)  # wakes the poll
        poller = select.poll()
        for descriptor in (self.control.fileno(), self.signals, self.wake_read):
            poller.register(descriptor, select.POLLIN)
        try:
            self.control.sendall(WARM)
            while True:
                ready = {descriptor for descriptor, _ in poller.poll()}
                if self.signals in ready:  # before requests: see the module's docstring
                    received = os.read(self.signals, 64)
                    if not received:
                        return
                    for signum in received:
                        self.send(signum)
                if self.control.fileno() in ready:
                    request = receive_request(self.control)
                    if request is None:
                        return
                    self.start(*request)
                if self.wake_read in ready:
                    os.read(self.wake_read, 4096)
                self.reap()
        except OSError as error:
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                raise
        finally:
            # The builder is gone, or done: what is still running has nobody to report to.
            for child in self.running.values():
                kill_group(child.pid)
            # Once this process is gone the builder trusts that nothing writes to its files.
            for child in self.running.values():
                os.waitpid(child.pid, 0)

    def start(self, request: Mapping[str, Any], report: int, *held: int) -> None:
        """Fork the child that the request asks for. held: descriptors that are its alone."""
        try:
            self._start(request, report)
        finally:
            for descriptor in held:
                os.close(descriptor)

    def _start(self, request: Mapping[str, Any], report: int) -> None:
        if self.refusing:
            write_line(report, {"refused": ""})
            os.close(report)
            return
        since = time.monotonic()
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            write_line(report, {"refused": str(errors.no_process(str(error.strerror)))})
            os.close(report)
            return
        if pid == 0:
            others = [other.report for other in self.running.values()]
            mine = [self.signals, self.wake_read, self.wake_write, *others]
            self.control.close()
            for descriptor in mine:
                os.close(descriptor)
            run_child(request, report, self.patience, server)
        self.running[pid] = Child(pid, report, since)
        write_line(report, {"started": pid})

    def send(self, signum: int) -> None:
        self.refusing = self.refusing or signum == signal.SIGTERM
        for child in self.running.values():
            if signum == signal.SIGKILL:
                kill_group(child.pid)
            else:
                # To the child alone: what it does with processes of its own is its affair.
                os.kill(child.pid, signum)

    def reap(self) -> None:
        for child in list(self.running.values()):
            if hasattr(os, "waitid"):
                if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                # While it is not yet waited for, its process id cannot belong to anyone else.
                kill_group(child.pid)
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            if not ended:
                continue
            del self.running[child.pid]
            # Linux counts kilobytes here, macOS bytes. A forked child's peak starts from what it
            # shares with the server at the fork, not from the server's own peak.
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            seconds = time.monotonic() - child.since
            taken = {"cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3)}
            ended_so = {"ended": status, "peak_rss_bytes": peak, "seconds": seconds}
            write_line(child.report, {**ended_so, "measured": taken})
            os.close(child.report)


def kill_group(pid: int) -> None:
    """Kill a child and every process of its group."""
    for kill in (os.killpg, os.kill):  # the child may not have its own group yet
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)
