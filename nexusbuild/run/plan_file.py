"""A plan in a file, to be built later exactly as planned, or not at all.

The file is what `--dry-run --json` prints, and with it, under `made_of`, what every target was
planned to be made of. A build of it first makes the plan again: where that is not the plan in the
file, it says what has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.keys import plain_json
from nexusbuild.rule.graph import input_target
from nexusbuild.rule.plan import Step
from nexusbuild.rule.reasons import differences
from nexusbuild.rule.record import InputUse, Record, SourceUse
from nexusbuild.run.build_plan import BuildPlan
from nexusbuild.show.wording import describe_reason

PLAN_FORMAT = 2


@dataclass(frozen=True)
class PlanFile:
    """selected, forced: ids, as they were asked for. states: of every target that is looked at."""

    path: Path
    selected: Sequence[str]
    forced: Sequence[str]
    states: Mapping[str, str]
    made_of: Mapping[str, Record]

    def check(self, build_plan: BuildPlan) -> None:
        """Raise BuildError with all that has moved, where this is no longer the plan."""
        moved = list(self._moved_targets(build_plan))
        if moved:
            raise errors.plan_moved(str(self.path), moved)

    def _moved_targets(self, build_plan: BuildPlan) -> Iterator[str]:
        for target in build_plan.targets:
            if target not in self.states:
                yield f"{target} is new to it"
                continue
            step = build_plan.steps[target]
            changes = list(_changes(self.made_of[target], build_plan, step))
            if self.states[target] != step.state and not changes:
                changes.append(f"was {self.states[target]}, is {step.state}")
            if changes:
                yield f"{target}: {'; '.join(changes)}"
        yield from (
            f"{target} is no longer part of it"
            for target in self.states
            if target not in build_plan.targets
        )


def _changes(then: Record, build_plan: BuildPlan, step: Step) -> Iterator[str]:
    """What sets a target apart from what it was planned to be made of, in words."""
    now = _inputs(build_plan, step)
    for reason in differences(then, step.target, build_plan.world.today, now):
        if reason.code != "input-rebuilt":
            yield describe_reason(reason)
    for role, use in then.inputs.items():
        reference = step.target.inputs.get(role, use.reference)
        if reference != use.reference:
            yield f"reads {reference} instead of {use.reference}"
        elif role in now and now[role] != use.digest:
            yield f"{reference} is another"


def write_plan(
    path: Path,
    build_plan: BuildPlan,
    selected: Sequence[str],
    forced: Sequence[str],
    document: Mapping[str, Any],
) -> None:
    """document: what a dry run prints of this plan as JSON."""
    whole = {
        "nexus_plan": PLAN_FORMAT,
        **document,
        "selected": list(selected),
        "forced": list(forced),
        "made_of": {target: _parts(build_plan, target) for target in build_plan.targets},
        # Few fingerprints serve many targets.
        "code": {code.fingerprint: code.modules for code in build_plan.world.today.code.values()},
    }
    if path.is_dir():
        raise errors.is_a_directory(str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise errors.unwritable(str(path), error) from error


def read_plan(path: Path) -> PlanFile:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["nexus_plan"] != PLAN_FORMAT:
            raise errors.plan_unreadable(str(path), f"it has format {raw['nexus_plan']}")
        codes = {
            fingerprint: Code(fingerprint, modules) for fingerprint, modules in raw["code"].items()
        }
        return PlanFile(
            path,
            raw["selected"],
            raw["forced"],
            {each["id"]: each["state"] for each in raw["targets"]},
            {name: _record(name, parts, codes) for name, parts in raw["made_of"].items()},
        )
    except OSError as error:
        raise errors.unreadable(str(path), error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.plan_unreadable(str(path), "it was not written by --dry-run --plan") from error


def _parts(build_plan: BuildPlan, target: str) -> dict[str, Any]:
    step = build_plan.steps[target]
    today = build_plan.world.today
    digests = _inputs(build_plan, step)
    return {
        "work": step.target.work,
        "code": today.code_of(step.target).fingerprint,
        "settings": plain_json(step.target.settings, target),
        # No digest: a source that was never seen, an input that is to be rebuilt.
        "sources": {
            role: [source.path, source.digest] for role, source in today.sources[target].items()
        },
        "inputs": {
            role: [reference, digests[role]] for role, reference in step.target.inputs.items()
        },
    }


def _inputs(build_plan: BuildPlan, step: Step) -> dict[str, str | None]:
    return {
        role: build_plan.steps[input_target(reference)].digest(reference)
        for role, reference in step.target.inputs.items()
    }


def _record(target: str, parts: Mapping[str, Any], codes: Mapping[str, Code]) -> Record:
    """A planned target in the form of a result, so that today's target can be held against it."""
    return Record(
        key="",
        target=target,
        work=parts["work"],
        settings=parts["settings"],
        inputs={role: InputUse(use[0], use[1], "") for role, use in parts["inputs"].items()},
        sources={role: SourceUse(*use) for role, use in parts["sources"].items()},
        code=codes[parts["code"]],
        outputs=(),
    )
