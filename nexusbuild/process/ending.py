"""How a run ended, from the JSON lines that its child and the server wrote about it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

from nexusbuild import errors
from nexusbuild.process.resources import oom_kills
from nexusbuild.readable import readable_size


class Lines:
    """The JSON lines that arrive at a report pipe."""

    def __init__(self, report: int) -> None:
        self._report = report
        self._rest = b""

    def read(self) -> Iterator[dict[str, Any]]:
        """Those that are complete by now; blocks until there is something to read."""
        *complete, self._rest = (self._rest + os.read(self._report, 65536)).split(b"\n")
        for line in complete:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # cut off when the child was killed, or the empty space between two
            if isinstance(message, dict):
                yield message


class Ending:
    """How a run ended, as far as its report has told by now."""

    def __init__(self) -> None:
        self.pid = 0
        self.seconds = 0.0
        self.peak_rss_bytes = 0
        self.status: int | None = None
        self.done = False
        self.wants_warm = False
        self.failed: str | None = None
        self.wrong = False
        self.refused: str | None = None
        self.measured: dict[str, float] = {}
        self.notes: list[str] = []
        self.server_ended: str | None = None
        self._kills_before = oom_kills()

    @property
    def complete(self) -> bool:
        return self.status is not None or self.refused is not None

    def note(self, message: dict[str, Any]) -> None:
        self.pid = message.get("started", self.pid)
        self.done = self.done or "done" in message
        self.wants_warm = self.wants_warm or "wants_warm" in message
        self.failed = message.get("failed", self.failed)
        self.wrong = message.get("wrong", self.wrong)
        self.refused = message.get("refused", self.refused)
        self.measured.update(message.get("measured", {}))
        self.notes += [message["note"]] if "note" in message else []
        if "ended" in message:
            self.status = message["ended"]
            self.seconds = message["seconds"]
            self.peak_rss_bytes = message["peak_rss_bytes"]

    def error(self) -> str:
        """What went wrong, and what to do about it."""
        if self.failed is not None:
            return self.failed
        if self.refused is not None:
            return self.refused
        if self.server_ended is not None:
            return str(errors.server_ended(self.server_ended))
        code = os.waitstatus_to_exitcode(self.status or 0)
        if code >= 0:
            return str(errors.process_ended(code))
        if -code != signal.SIGKILL:
            return str(errors.process_crashed(-code, signal.Signals(-code).name))
        now = oom_kills()
        sure = self._kills_before is not None and now is not None and now > self._kills_before
        return str(errors.process_killed(sure, readable_size(self.peak_rss_bytes)))
