"""Builds in this very process: the engine is real, and a target costs a function call.

For tests that need hundreds of builds. Work is read from its file for each run, so that edits of
code count, as they do in the children of the real executor.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from nexusbuild.plugins import Job, Needs
from nexusbuild.process.executor import Outcome, ProgressEvent
from nexusbuild.project import Place, Project
from nexusbuild.rule.plan import Steps, make_plan, with_inputs
from nexusbuild.run.build import BuildResult, BuildRun, Options
from nexusbuild.show.progress import open_display
from nexusbuild.store.lock_file import builder_lock


class InlineExecutor:
    """The engine's executor, without processes. ran: what ran, in order."""

    def __init__(self, folder: Path) -> None:
        self.ran: list[str] = []
        self._folder = folder

    def run(
        self,
        job: Job,
        work: str,
        needs: Needs,
        log: Path,
        on_progress: Callable[[ProgressEvent], None],
    ) -> Outcome:
        module, _, function = work.partition(":")
        self.ran.append(job.target)
        began = time.monotonic()
        try:
            file = self._folder.joinpath(*module.split(".")).with_suffix(".py")
            runpy.run_path(str(file))[function](
                replace(job, progress=lambda *args, **figures: None)
            )
        except Exception as error:
            return Outcome(False, time.monotonic() - began, 1, str(error))
        return Outcome(True, time.monotonic() - began, 1, "")

    def check(self, needs: Needs, target: str) -> None:
        pass

    def interrupt(self) -> None:
        pass

    def forward(self, signum: int) -> None:
        pass

    def close(self) -> None:
        pass


class InlineProject:
    """A project folder whose builds run here. Its packages must be importable."""

    def __init__(self, folder: Path, resolver: str) -> None:
        self.folder = folder
        self.spec = folder / "nexus.yaml"
        self.place = Place(self.spec, folder / ".nexus", resolver)

    def build(self, *targets: str, forced: Collection[str] = ()) -> BuildResult:
        """Build these, or everything. `ran` of the result: what ran, in order."""
        executor = InlineExecutor(self.folder)
        with builder_lock(self.place.store, "test", lambda text: None):
            project = Project(self.place)
            project.store.prepare()
            options = Options(
                selected=targets or list(project.graph.targets), forced=sorted(forced), jobs=1
            )
            display = open_display(io.StringIO(), quiet=True)
            report = BuildRun(project, options, lambda preload: executor, lambda: display).run()
        failed = [result for result in report.results.values() if result.error is not None]
        assert not failed, [str(result.error) for result in failed]
        built = {name for name, result in report.results.items() if result.state == "built"}
        assert built == set(executor.ran) or "skipped" in self.states_of(report).values()
        return report

    def plan(self, forced: Collection[str] = ()) -> Steps:
        """What a dry run says."""
        project = Project(self.place)
        world = project.world(forced)
        everything = list(project.graph.targets)
        steps = make_plan(world, project.to_publish(everything))
        return {target: steps[target] for target in with_inputs(world, steps, everything)}

    @staticmethod
    def states_of(report: BuildResult) -> dict[str, str]:
        return {name: result.state for name, result in report.results.items()}

    def outputs(self, target: str) -> dict[str, bytes]:
        """path -> bytes of what the current build left this target with, from the store itself."""
        store = Project(self.place).store
        key = store.current(target)
        record = store.record(key) if key is not None else None
        assert record is not None, target
        return {each.path: store.object(each.sha256).read_bytes() for each in record.outputs}


@contextlib.contextmanager
def undone(folder: Path, names: Collection[str]) -> Iterator[None]:
    """Put these files and folders of `folder` back afterwards, byte for byte."""
    before = {
        path: path.read_bytes()
        for name in names
        for path in [folder / name, *(folder / name).rglob("*")]
        if path.is_file() and "__pycache__" not in path.parts
    }
    try:
        yield
    finally:
        for name in names:
            for path in [folder / name, *(folder / name).rglob("*")]:
                if path.is_file() and path not in before and "__pycache__" not in path.parts:
                    path.unlink()
        for path, content in before.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
