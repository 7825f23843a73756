"""Progress of work that goes over its rows more than once."""

from __future__ import annotations

from collections.abc import Callable


class PassCount:
    """Counts rows over passes: a row that is gone over again counts again.

    progress: called with what is done and the total. total: of all passes.
    """

    def __init__(self, progress: Callable[[float, float], None], total: int) -> None:
        self._progress, self._total, self._before = progress, total, 0

    def report(self, done: int, _of_pass: int) -> None:
        """Show how many rows of the current pass are done."""
        self._progress(self._before + done, self._total)

    def end_pass(self, rows: int) -> None:
        """Go on to the next pass, after one over so many rows."""
        self._before += rows
