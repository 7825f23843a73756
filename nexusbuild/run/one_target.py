"""Builds one target: reuse its result, or run its work; make lost files of its inputs again.

Called from several threads, for targets whose inputs are done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.project import Project
from nexusbuild.readable import display_path
from nexusbuild.rule.graph import input_target
from nexusbuild.rule.plan import Step, plan_step
from nexusbuild.rule.record import Output
from nexusbuild.run.build_plan import BuildPlan
from nexusbuild.run.commit import ResultCommitter
from nexusbuild.run.make import Producer, missing_outputs
from nexusbuild.run.results import Reporter, TargetResult


class TargetBuilder:
    """Builds the targets of one build. started: called whenever a target begins to be made."""

    def __init__(
        self,
        project: Project,
        build_plan: BuildPlan,
        producer: Producer,
        committer: ResultCommitter,
        reporter: Reporter,
        started: Callable[[str], None],
    ) -> None:
        self.interrupted = False
        self._project = project
        self._world = build_plan.world
        self._steps = build_plan.steps
        self._producer = producer
        self._committer = committer
        self._reporter = reporter
        self._started = started
        self._guard = threading.RLock()
        self._making = {target: threading.Lock() for target in project.graph.targets}

    def has_result(self, target: str) -> bool:
        """doit's question. True: it needs no run, and its result is committed."""
        if self.interrupted:
            return False
        try:
            step = plan_step(self._world.graph[target], self._world, self._steps)
            with self._guard:
                self._steps[target] = step
            if step.record is None or self._committer.lacks_files(step, self._reporter.note):
                return False
            self._committer.commit(step)
            self._reporter.add(TargetResult(step, step.state, record=step.record))
        except BuildError as error:
            self._reporter.add(TargetResult(self._steps[target], "failed", error=error))
            return False
        except OSError as error:
            refused = errors.system(target, error)
            self._reporter.add(TargetResult(self._steps[target], "failed", error=refused))
            return False
        return True

    def make(self, target: str) -> bool:
        """doit's action. True: the target has its result."""
        step = self._steps[target]
        if target in self._reporter.results or self.interrupted:
            return False
        if step.state == "blocked":
            self._reporter.add(TargetResult(step, "blocked", error=errors.several(step.errors)))
            return False
        self._started(target)
        try:
            self._restore_inputs(step)
            return self._make(self._steps[target])
        except BuildError as error:
            self._reporter.add(TargetResult(step, "failed", error=error))
        except OSError as error:
            self._reporter.add(TargetResult(step, "failed", error=errors.system(target, error)))
        except Exception as error:
            # A defect of the builder: the other targets' results are still worth finishing.
            import traceback

            text = traceback.format_exc()
            self._reporter.add(TargetResult(step, "failed", error=errors.defect(target, text)))
            self._reporter.note(f"{target}: {type(error).__name__} in the builder itself")
        return False

    def _make(self, step: Step) -> bool:
        target = step.target
        inputs = {role: self._steps[input_target(ref)] for role, ref in target.inputs.items()}
        made = self._producer.make(step, inputs, self._world.today)
        if made.record is not None:
            whole = replace(step, key=made.record.key, record=made.record)
            with self._guard:
                self._steps[target.id] = whole
            self._committer.commit(whole, built=True)
            self._reporter.add(
                TargetResult(step, "built", made.seconds, made.peak_rss_bytes, made.record)
            )
            for text in made.record.provenance["notes"]:
                self._reporter.note(f"{target.id}: {text}")
            return True
        if made.candidate is not None:
            detail = "a contract is not met; the candidate is in build/candidate"
            self._reporter.add(
                TargetResult(step, "skipped", made.seconds, made.peak_rss_bytes, detail=detail)
            )
            return True
        state = "skipped" if self.interrupted else "failed"
        self._reporter.add(
            TargetResult(step, state, made.seconds, made.peak_rss_bytes, error=made.error)
        )
        return False

    def _restore_inputs(self, step: Step) -> None:
        """Make the files of its inputs again where they are gone, or damaged."""
        for reference in step.target.inputs.values():
            name = input_target(reference)
            with self._making[name]:
                damaged = self._damaged_outputs(reference)
                for output in damaged:
                    self._project.store.discard(output)
                if damaged or missing_outputs(self._steps[name], reference, self._project):
                    self._restore(self._steps[name])

    def _damaged_outputs(self, reference: str) -> list[Output]:
        """What is read is hashed in full, once in a build, whatever its stat says: a result that
        was made of a damaged file would stand under a key that names the whole one.
        """
        record = self._steps[input_target(reference)].record
        store = self._project.store
        found = [
            output
            for output in (record.files(reference) if record is not None else ())
            if store.object(output.sha256).exists() and not store.verified_once(output)
        ]
        for output in found:
            self._reporter.note(
                f"{reference}: {output.path} was damaged in the store; it is made again"
            )
        return found

    def _restore(self, step: Step) -> None:
        name, before = step.target.id, step.record
        absent = self._world.today.missing(name)
        if absent:
            raise errors.several(
                [
                    errors.source_missing(name, role, display_path(fact.path), fact.remedy)
                    for role, fact in absent
                ]
            )
        self._started(name)
        self._restore_inputs(step)
        if not self._make(step):
            error = self._reporter.results[name].error
            assert error is not None, f"{name} was not made, and nothing says why"
            raise error
        after = self._steps[name].record
        if before is not None and after is not None and before.digest != after.digest:
            self._reporter.note(f"{name} did not come out as before: its work is not reproducible")
