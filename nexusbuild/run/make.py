"""One target built: its inputs laid out, its work run, its outputs taken into the store.

Nothing exists of a result until its record is written, and that is the last thing done.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.digest.host import builder_version, host_kind, library_versions
from nexusbuild.digest.keys import canonical_json, key_of, own_digest, seed_of
from nexusbuild.errors import BuildError
from nexusbuild.process.executor import INTERRUPTED, Executor, ProgressEvent
from nexusbuild.process.job import Job
from nexusbuild.project import Project
from nexusbuild.rule.graph import Target, input_file, input_target
from nexusbuild.rule.names import printable
from nexusbuild.rule.plan import Step
from nexusbuild.rule.record import InputUse, Output, Record, SourceUse, file_name
from nexusbuild.rule.record_check import LONGEST_TEXT, VERDICTS
from nexusbuild.rule.sources import Today
from nexusbuild.store.released import readable_path
from nexusbuild.store.views import show_candidate


@dataclass(frozen=True)
class MakeResult:
    """How it ended. record: the result; candidate: where one lies that was not released."""

    seconds: float
    peak_rss_bytes: int
    record: Record | None = None
    candidate: Path | None = None
    error: BuildError | None = None


def no_progress(done: float, total: float, **figures: float | str) -> None:
    """The progress of a job on this side; the executor's process reports by its own."""


class Producer:
    """Builds targets of one project, from several threads."""

    def __init__(
        self, project: Project, executor: Executor, on_progress: Callable[[ProgressEvent], None]
    ) -> None:
        self._project = project
        self._executor = executor
        self._on_progress = on_progress
        self._lock = threading.Lock()

    def make(self, step: Step, inputs: Mapping[str, Step], today: Today) -> MakeResult:
        """Build one target. inputs: role -> the step behind it, its result present in the store."""
        target, store = step.target, self._project.store
        seconds, peak = 0.0, 0
        run: Path | None = None
        try:
            uses = _input_uses(target, inputs)
            own = _own(target, today)
            key = key_of(own, {role: use.digest for role, use in uses.items()})
            self._check_unchanged(target, today)
            run = store.run_directory(key)
            job = self._job(target, inputs, today, run, store.scratch_directory(key))
            started = _now()
            outcome = self._executor.run(
                job, target.work, target.needs, self.log(target.id), self._on_progress
            )
            seconds, peak = outcome.seconds, outcome.peak_rss_bytes
            if not outcome.ok:
                if outcome.error == INTERRUPTED:
                    raise errors.interrupted(target.id)
                what = outcome.error.removeprefix(f"{target.id}: ")
                raise errors.work_failed(target.id, what, str(self.log(target.id)), outcome.wrong)
            self._check_inputs(target, inputs)
            self._check_unchanged(target, today)
            verdict = _verdict(target, job.out)
            if target.release and not all(_has_passed(each) for each in inputs.values()):
                place = show_candidate(self._project.place.build, store, job.out)
                store.drop_scratch(key)
                return MakeResult(seconds, peak, candidate=place)
            code = today.code_of(target)
            record = Record(
                key=key,
                target=target.id,
                work=target.work,
                settings=json.loads(canonical_json(target.settings, target.id)),
                inputs=uses,
                sources={
                    role: SourceUse(printable(str(source.path)), source.digest or "")
                    for role, source in today.sources[target.id].items()
                },
                code=code,
                outputs=store.add_outputs(job.out, target.id),
                verdict=verdict,
                provenance={
                    "seconds": round(seconds, 3),
                    "peak_rss_bytes": peak,
                    "measured": {
                        printable(name): value for name, value in outcome.measured.items()
                    },
                    "notes": [printable(note)[:LONGEST_TEXT] for note in outcome.notes],
                    "started": started,
                    "finished": _now(),
                    "expected_seconds": target.expected_seconds,
                    "threads": job.threads,
                    "host": host_kind(),
                    "libraries": library_versions(code.libraries),
                    "builder": builder_version(),
                },
            )
            store.add_record(record)
            store.drop_scratch(key)
            return MakeResult(seconds, peak, record=record)
        except BuildError as error:
            return MakeResult(seconds, peak, error=error)
        except OSError as error:
            return MakeResult(seconds, peak, error=errors.system(target.id, error))
        finally:
            if run is not None:
                store.drop_run(run)

    def log(self, target: str) -> Path:
        place = self._project.place.build / "logs" / readable_path(target)
        return place.with_name(place.name + ".log")

    def _job(
        self, target: Target, inputs: Mapping[str, Step], today: Today, run: Path, scratch: Path
    ) -> Job:
        laid_out: dict[str, Path] = {}
        for role in sorted(target.inputs):
            reference = target.inputs[role]
            record = inputs[role].record
            assert record is not None
            folder = run / "inputs" / file_name(role)
            folder.mkdir(parents=True)
            self._project.store.materialise(record.files(reference), folder)
            file = input_file(reference)
            laid_out[role] = folder / file if file is not None else folder
        out = run / "out"
        out.mkdir()
        # Through canonical JSON, so that no work can depend on the order in which names were
        # written: the key does not know it.
        settings: dict[str, Any] = json.loads(canonical_json(target.settings, target.id))
        return Job(
            target=target.id,
            settings=settings,
            inputs=laid_out,
            sources={
                role: Path(source.path) for role, source in sorted(today.sources[target.id].items())
            },
            out=out,
            scratch=scratch,
            seed=seed_of(settings.get("seed", 0), target.id),
            threads=max(1, target.needs.threads),
            progress=no_progress,
            ram_bytes=target.needs.ram_bytes or None,
            conduct=target.conduct,
            code=target.code,
            imported=self._imported_targets(inputs) if target.release else (),
        )

    def _imported_targets(self, inputs: Mapping[str, Step]) -> tuple[str, ...]:
        """The targets, among all that the inputs were made of, whose results were imported."""
        store, found, seen = self._project.store, set[str](), set[str]()
        waiting = [step.record for step in inputs.values()]
        while waiting:
            record = waiting.pop()
            if record is not None and record.key not in seen:
                seen.add(record.key)
                found |= {record.target} if record.imported is not None else set()
                waiting += [store.record(use.key) for use in record.inputs.values()]
        return tuple(sorted(found))

    def _check_unchanged(self, target: Target, today: Today) -> None:
        """A result is a function of what its key names: refuse it where that changed meanwhile."""
        with self._lock:
            now = self._project.look_again(target)
        for role, source in today.sources[target.id].items():
            if now.sources[target.id][role] != source:
                raise errors.changed_meanwhile(target.id, f"source {source.path}")
        then = today.code_of(target)
        changed = now.code_of(target)
        if changed.fingerprint != then.fingerprint:
            names = sorted(
                name
                for name in {*then.modules, *changed.modules}
                if then.modules.get(name) != changed.modules.get(name)
            )
            raise errors.changed_meanwhile(target.id, f"code ({', '.join(names)})")

    def _check_inputs(self, target: Target, inputs: Mapping[str, Step]) -> None:
        """Inputs are the store's own files: one that was written to is damaged for everyone."""
        store = self._project.store
        for role, reference in target.inputs.items():
            record = inputs[role].record
            for output in store.missing(record.files(reference) if record is not None else ()):
                store.discard(output)
                raise errors.wrote_to_input(target.id, f"{reference} ({output.path})")


def _own(target: Target, today: Today) -> str:
    return own_digest(
        target.id,
        target.settings,
        today.source_digests(target.id),
        today.code_of(target).fingerprint,
    )


def _input_uses(target: Target, inputs: Mapping[str, Step]) -> dict[str, InputUse]:
    uses = {}
    for role, reference in sorted(target.inputs.items()):
        record = inputs[role].record
        assert record is not None, f"{target.id} runs before {reference}"
        if not record.files(reference):
            made = [output.path for output in record.outputs]
            raise errors.no_such_output(target.id, reference, made)
        digest = inputs[role].digest(reference)
        assert digest is not None
        uses[role] = InputUse(reference, digest, record.key)
    return uses


def _has_passed(step: Step) -> bool:
    return step.record is not None and step.record.passed


def _verdict(target: Target, out: Path) -> dict[str, Any] | None:
    if target.verdict is None:
        return None
    try:
        verdict = json.loads((out / target.verdict).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.bad_verdict(target.id, target.verdict, "was not written") from error
    except (OSError, ValueError) as error:
        raise errors.bad_verdict(target.id, target.verdict, "is not JSON") from error
    if not isinstance(verdict, dict) or verdict.get("verdict") not in VERDICTS:
        raise errors.bad_verdict(target.id, target.verdict, "says none of " + ", ".join(VERDICTS))
    if "summary" in verdict:
        verdict["summary"] = printable(str(verdict["summary"]))[:LONGEST_TEXT]
    return verdict


def missing_outputs(step: Step, reference: str, project: Project) -> tuple[Output, ...]:
    """What is missing, in the store, of what an input reference to this step reads."""
    assert step.target.id == input_target(reference)
    return project.store.missing(step.record.files(reference)) if step.record is not None else ()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
