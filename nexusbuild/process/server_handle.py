"""The builder's hold on one fork server: start it, ask it for children, signal them, end it.

One process per handle; a handle whose server has ended stays ended. What the server does stands in
`fork_server.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

from nexusbuild.process.wire import send_request

# Libraries read these once, when they are first imported: one thread each, so that targets side by
# side do not fight over the cores; a work that is given more threads says so to its library itself.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",  # sets iterate in the same order in every build
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # a server that had opened CUDA could not be forked
}

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from nexusbuild.process.fork_server import main; main(sys.argv[1:])"
)


class ServerEndedError(Exception):
    """The server has ended; str() says how."""


class ServerHandle:
    """A running fork server.

    preload: modules that it imports before it serves. patience: seconds that a child may spend on
    its imports before it gives up and asks for a warm server; None where it may take its time.
    held: the store's lock, which every child is to hold as well.
    """

    def __init__(
        self, preload: tuple[str, ...], patience: float | None = None, held: int | None = None
    ) -> None:
        mine, its = socket.socketpair()
        its_signals, self._signals = os.pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._lock = threading.Lock()
        self._terminated = False
        self._held = () if held is None else (held,)
        options = {
            "preload": preload,
            "patience": patience,
            "control": its.fileno(),
            "signals": its_signals,
        }
        try:
            self._process = subprocess.Popen(
                # sys.path is handed over whole: the builder's own way of finding modules counts
                [sys.executable, "-c", _START, json.dumps(options), json.dumps(sys.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={**os.environ, **ENVIRONMENT},
                pass_fds=(its.fileno(), its_signals),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the builder alone
            )
        finally:
            its.close()
            os.close(its_signals)
        self.control = mine
        self.pid = self._process.pid

    def start(self, request: Mapping[str, Any]) -> int:
        """Ask for a child; the read end of its report pipe. Raises ServerEndedError."""
        reading, writing = os.pipe()
        try:
            with self._lock:
                send_request(self.control, request, writing, *self._held)
        except OSError:
            os.close(reading)
            raise ServerEndedError(self.ending()) from None
        finally:
            os.close(writing)
        return reading

    def send(self, signum: int) -> None:
        """Send a signal to every child. Takes no lock: a signal handler may call it."""
        with contextlib.suppress(OSError):  # it may have ended, and its children with it
            os.write(self._signals, bytes([signum]))

    def terminate(self) -> None:
        """Send SIGTERM to every child, once; nothing asked for later is started."""
        if not self._terminated:
            self._terminated = True
            self.send(signal.SIGTERM)

    @property
    def warm(self) -> bool:
        """Whether its imports are done. Also true of one that has ended."""
        poller = select.poll()
        poller.register(self.control.fileno(), select.POLLIN)
        return bool(poller.poll(0))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ending(self) -> str:
        """How the server ended, and its last words."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it no longer answers"
        if status < 0:
            how = f"killed by signal {-status} ({signal.Signals(-status).name})"
        else:
            how = f"exit status {status}"
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {words[-1]}" if words and status >= 0 else how

    def stop(self, grace_seconds: float = 5.0) -> None:
        """End it, and with it every child. Returns when it is gone."""
        if not self.warm:
            self._process.kill()  # deep in its imports, and without children
        with contextlib.suppress(OSError):  # it may have gone first
            self.control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Let go of what a stopped server's handle holds. No run may still be using it."""
        self.control.close()
        os.close(self._signals)
        self._stderr.close()
