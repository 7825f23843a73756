"""Builds the cheap targets in this very process: the engine is real, a target costs a call.

    python benchmarks/build_in_process.py

For `builder.py`, which measures what comes after: ten thousand forks would take minutes.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cheap_targets

from nexusbuild.plugins import Job, Needs
from nexusbuild.process.executor import Outcome, ProgressEvent
from nexusbuild.project import Project, find_place
from nexusbuild.run.build import BuildRun, Options
from nexusbuild.show.progress import open_display
from nexusbuild.store.lock_file import builder_lock


class InProcess:
    """The engine's executor, without processes."""

    def run(
        self,
        job: Job,
        work: str,
        needs: Needs,
        log: Path,
        on_progress: Callable[[ProgressEvent], None],
    ) -> Outcome:
        began = time.monotonic()
        cheap_targets.join(job)
        return Outcome(True, time.monotonic() - began, 1, "")

    def check(self, needs: Needs, target: str) -> None:
        """Everything fits."""

    def interrupt(self) -> None:
        """Nothing goes on when nobody calls."""

    def forward(self, signum: int) -> None:
        """There is nobody to forward it to."""

    def close(self) -> None:
        """Nothing was opened."""


def main() -> int:
    place = find_place()
    with builder_lock(place.store, "benchmark", print):
        project = Project(place)
        project.store.prepare()
        options = Options(selected=list(project.graph.targets), jobs=1)
        display = open_display(io.StringIO(), quiet=True)
        return (
            BuildRun(project, options, lambda preload: InProcess(), lambda: display).run().exit_code
        )


if __name__ == "__main__":
    sys.exit(main())
