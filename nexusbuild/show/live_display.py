"""A build as a live picture on a terminal: a line for each running target, one for the whole.

Imported only where there is a terminal: rich takes a while to load.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nexusbuild.readable import (
    escape_controls,
    readable_estimate,
    readable_figures,
    readable_seconds,
)
from nexusbuild.show.eta import RunningTarget
from nexusbuild.show.watch import Display, format_ending

REFRESHES_PER_SECOND = 4
BAR_WIDTH = 20
_STYLES = {"built": "green", "failed": "bold red", "blocked": "yellow", "skipped": "yellow"}


class LiveDisplay(Display):
    """Redraws what runs, and leaves a line above it for each target that ended."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        console: Console | None = None,
    ) -> None:
        super().__init__(clock)
        # One writer at a time. rich alone lets a line be printed and the picture be drawn at once,
        # and then rows of the picture stay behind. Never taken while `lock` is held.
        self._paper = threading.Lock()
        self._over = threading.Event()
        self._drawing = threading.Thread(target=self._draw_again, daemon=True)
        self._console = console or Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def planned(
        self, expected: Mapping[str, float], after: Mapping[str, Sequence[str]], jobs: int
    ) -> None:
        super().planned(expected, after, jobs)
        with self._paper:
            self._live.start()
        self._drawing.start()

    def finished(
        self, target: str, state: str, seconds: float, detail: str = "", passed: bool = True
    ) -> None:
        super().finished(target, state, seconds)
        style = _STYLES.get(state, "dim") if passed else _STYLES["failed"]
        line = _text(f"{target}: ")
        line.append_text(_text(format_ending(state, seconds, detail), style=style))
        self._print(line)

    def note(self, text: str) -> None:
        self._print(_text(text))

    def close(self) -> None:
        self._over.set()
        if self._drawing.is_alive():
            self._drawing.join()
        with self._paper, contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._live.stop()

    def picture(self) -> RenderableType:
        """What the terminal shows below the finished lines."""
        with self.lock:
            now = self.clock()
            started = self.estimator.running.items()
            running = [(target, state) for target, state in started if state.begun]
            waiting = [target for target, state in started if not state.begun]
            room = max(1, self._console.height - 4)
            table = Table.grid(padding=(0, 2, 0, 0))
            # What is left, at the end of a row, is worth more than all of a long id.
            width = self._console.width
            table.add_column(no_wrap=True, overflow="ellipsis", max_width=3 * width // 8)
            table.add_column(width=BAR_WIDTH if width >= 100 else BAR_WIDTH // 2)
            table.add_column(no_wrap=True, justify="right", width=5)
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
            table.expand = True
            for target, state in running[:room]:
                table.add_row(*self._row(target, state, now))
            parts: list[RenderableType] = [table]
            if len(running) > room:
                parts.append(_text(f"and {len(running) - room} more", style="dim"))
            if waiting:
                text = f"next: {', '.join(waiting)}"
                parts.append(_text(text, style="dim", no_wrap=True, overflow="ellipsis"))
            return Group(*parts, self._overall())

    def _row(self, target: str, state: RunningTarget, now: float) -> list[RenderableType]:
        left = readable_estimate(self.estimator.target_seconds_left(target, now)) + " left"
        if state.fraction is None:
            # An animation would say nothing more: the time that it has taken does.
            elapsed = readable_seconds(now - state.since)
            return [_text(target), "", "", _text(f"{left}, {elapsed} so far")]
        figures = readable_figures(state.figures)
        return [
            _text(target),
            _bar(state.fraction),
            _text(f"{100 * state.fraction:.0f} %"),
            _text(f"{left}, {figures}" if figures else left),
        ]

    def _overall(self) -> Text:
        overall = self.overall()
        text = f"{overall.finished} of {overall.total} targets, {clock_face(overall.elapsed)}"
        if overall.seconds_left is not None and overall.finished < overall.total:
            text += f", about {readable_estimate(overall.seconds_left)} left"
        return _text(text, style="bold", no_wrap=True, overflow="ellipsis")

    def _print(self, line: Text) -> None:
        with self._paper, contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._console.print(line)

    def _draw_again(self) -> None:
        while not self._over.wait(1 / REFRESHES_PER_SECOND):
            with self._paper, contextlib.suppress(OSError, ValueError):
                self._live.refresh()


def _text(text: str, **looks: Any) -> Text:
    """What came from outside, safe to show."""
    return Text(escape_controls(text), **looks)


def _bar(fraction: float) -> ProgressBar:
    return ProgressBar(1, fraction, complete_style="cyan", finished_style="cyan")


def clock_face(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
