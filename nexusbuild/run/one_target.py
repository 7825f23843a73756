"""A target's turn has come: is its result there, and if not, make it, and its inputs' lost files.

Asked from several threads, for targets whose inputs have had their turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.graph import input_target
from nexusbuild.near import near
from nexusbuild.project import Project
from nexusbuild.rule.plan import Step, judged
from nexusbuild.rule.record import Output
from nexusbuild.run.commit import Settlement
from nexusbuild.run.make import Producer, missing_outputs
from nexusbuild.run.results import Account, Result
from nexusbuild.run.selection import Proposal


class Turns:
    """The turns of one build. started: told whenever a target begins to be made."""

    def __init__(
        self,
        project: Project,
        proposal: Proposal,
        producer: Producer,
        settlement: Settlement,
        account: Account,
        started: Callable[[str], None],
    ) -> None:
        self.interrupted = False
        self._project = project
        self._world = proposal.world
        self._steps = proposal.steps
        self._producer = producer
        self._settlement = settlement
        self._account = account
        self._started = started
        self._guard = threading.RLock()
        self._making = {target: threading.Lock() for target in project.graph.targets}

    def has_its_result(self, target: str) -> bool:
        """doit's question. True: it needs no run, and its result is settled."""
        if self.interrupted:
            return False
        try:
            step = judged(self._world.graph[target], self._world, self._steps)
            with self._guard:
                self._steps[target] = step
            if step.record is None or self._settlement.lacks_files(step, self._account.note):
                return False
            self._settlement.settle(step)
            self._account.done(Result(step, step.state, record=step.record))
        except BuildError as error:
            self._account.done(Result(self._steps[target], "failed", error=error))
            return False
        except OSError as error:
            refused = errors.system(target, error)
            self._account.done(Result(self._steps[target], "failed", error=refused))
            return False
        return True

    def make(self, target: str) -> bool:
        """doit's action. True: the target has its result."""
        step = self._steps[target]
        if target in self._account.results or self.interrupted:
            return False
        if step.state == "blocked":
            self._account.done(Result(step, "blocked", error=errors.several(step.errors)))
            return False
        self._started(target)
        try:
            self._restore_inputs(step)
            return self._make(self._steps[target])
        except BuildError as error:
            self._account.done(Result(step, "failed", error=error))
        except OSError as error:
            self._account.done(Result(step, "failed", error=errors.system(target, error)))
        except Exception as error:
            # A defect of the builder: the other targets' results are still worth finishing.
            import traceback

            text = traceback.format_exc()
            self._account.done(Result(step, "failed", error=errors.defect(target, text)))
            self._account.note(f"{target}: {type(error).__name__} in the builder itself")
        return False

    def _make(self, step: Step) -> bool:
        target = step.target
        inputs = {role: self._steps[input_target(ref)] for role, ref in target.inputs.items()}
        made = self._producer.make(step, inputs, self._world.facts)
        if made.record is not None:
            whole = replace(step, key=made.record.key, record=made.record)
            with self._guard:
                self._steps[target.id] = whole
            self._settlement.settle(whole, built=True)
            self._account.done(
                Result(step, "built", made.seconds, made.peak_rss_bytes, made.record)
            )
            for text in made.record.provenance["notes"]:
                self._account.note(f"{target.id}: {text}")
            return True
        if made.candidate is not None:
            detail = "a contract is not met; the candidate is in build/candidate"
            self._account.done(
                Result(step, "skipped", made.seconds, made.peak_rss_bytes, detail=detail)
            )
            return True
        state = "skipped" if self.interrupted else "failed"
        self._account.done(Result(step, state, made.seconds, made.peak_rss_bytes, error=made.error))
        return False

    def _restore_inputs(self, step: Step) -> None:
        """Make the files of its inputs again where they are gone, or damaged."""
        for reference in step.target.inputs.values():
            name = input_target(reference)
            with self._making[name]:
                damaged = self._damaged(reference)
                for output in damaged:
                    self._project.store.discard(output)
                if damaged or missing_outputs(self._steps[name], reference, self._project):
                    self._restore(self._steps[name])

    def _damaged(self, reference: str) -> list[Output]:
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
            self._account.note(
                f"{reference}: {output.path} was damaged in the store; it is made again"
            )
        return found

    def _restore(self, step: Step) -> None:
        name, before = step.target.id, step.record
        absent = self._world.facts.missing(name)
        if absent:
            raise errors.several(
                [
                    errors.source_missing(name, role, near(fact.path), fact.remedy)
                    for role, fact in absent
                ]
            )
        self._started(name)
        self._restore_inputs(step)
        if not self._make(step):
            error = self._account.results[name].error
            assert error is not None, f"{name} was not made, and nothing says why"
            raise error
        after = self._steps[name].record
        if before is not None and after is not None and before.digest != after.digest:
            self._account.note(f"{name} did not come out as before: its work is not reproducible")
