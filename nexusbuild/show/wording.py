"""Plans and builds in words and as JSON. Decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nexusbuild.errors import BuildError
from nexusbuild.readable import display_path, escape_controls
from nexusbuild.rule.plan import Step
from nexusbuild.rule.reasons import Reason
from nexusbuild.rule.record import Record, outputs_json
from nexusbuild.show.streams import say, warn
from nexusbuild.show.terminal import columns, fit_lines

PLAN_STATES = ("fresh", "cached", "stale", "maybe", "blocked")
BUILD_STATES = ("fresh", "cached", "built", "failed", "skipped", "blocked")
_COLOURS = {
    "fresh": "32",
    "cached": "36",
    "built": "32",
    "stale": "33",
    "maybe": "33",
    "failed": "31;1",
    "blocked": "31;1",
    "skipped": "35",
}
_ROOM_FOR_DETAIL = 48  # columns: the state, blanks, and enough of a reason to know it by


def plan_json(steps: Iterable[Step], expected: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "id": step.target.id,
            "kind": step.target.kind,
            "state": step.state,
            "reasons": [reason.to_json() for reason in step.reasons],
            "key": step.key,
            "expected_seconds": _round_seconds(expected.get(step.target.id)),
        }
        for step in steps
    ]


def count_states(states: Iterable[str], known: Sequence[str]) -> dict[str, int]:
    found = list(states)
    return {state: found.count(state) for state in known}


def describe_reason(reason: Reason, folder: Path | None = None) -> str:
    """One reason, as a person reads it; paths as seen from `folder`, or from where they are."""
    where = display_path(reason.path or "", folder)
    if reason.code == "setting-changed" and reason.old is None and reason.new is None:
        return f"{reason.path} is new or gone, and not set"  # absent then or now
    if reason.code == "setting-changed":
        return f"{reason.path}: {_value(reason.old)} -> {_value(reason.new)}"
    if reason.code == "source-changed" and reason.instead_of is not None:
        return f"{where} is read instead of {display_path(reason.instead_of, folder)}"
    if reason.code == "source-changed":
        if reason.old is None:
            return f"{where} is new"
        return f"{where} {'is no longer read' if reason.new is None else 'changed'}"
    if reason.code == "code-changed":
        if reason.old is None:
            return f"code: {reason.path} is new to it"
        return f"code: {reason.path} changed" if reason.new else f"code: {reason.path} is gone"
    if reason.code == "source-missing":
        if reason.input is not None:
            return f"{reason.input} is blocked"
        remedy = f" ({' '.join(reason.remedy.split())})" if reason.remedy else ""
        return f"{where} is missing{remedy}"
    return {
        "never-built": "never built",
        "forced": "forced",
        "not-buildable": f"{reason.remedy}",
        "input-rebuilt": f"{reason.input} changed or will be rebuilt",
        "input-added": f"{reason.input} is a new input",
        "input-removed": f"{reason.input} is no longer an input",
        "output-missing": f"{reason.path} is gone from the store and needed",
    }[reason.code]


def sort_by_weight(reasons: Sequence[Reason]) -> list[Reason]:
    """What blocks it first, then its own changes, then those of its inputs."""
    blocks = ("not-buildable", "source-missing")
    return sorted(
        reasons, key=lambda reason: (reason.code not in blocks, reason.code.startswith("input"))
    )


def show_rows(rows: Sequence[tuple[str, str, str]]) -> None:
    """state, id and detail, aligned; coloured on a terminal and cut to its width."""
    width = columns(sys.stdout)
    longest = max((len(row[1]) for row in rows), default=0)
    if width is not None:
        # A long id stands out of its column before it takes the details' place.
        longest = min(longest, max(20, width - _ROOM_FOR_DETAIL))
    for state, target, detail in rows:
        # What stands in one line must not look like two.
        detail = escape_controls(detail).replace("\n", "\\n")
        line = f"{state:<7} {target:<{longest}}  {detail}".rstrip()
        if width is not None and len(line) > width:
            line = line[: width - 1] + "…"
        say(line, _COLOURS.get(state, ""), letters=7)


def show_counts(summary: Mapping[str, int]) -> None:
    parts = [f"{count} {state}" for state, count in summary.items() if count]
    say(", ".join(parts) or "nothing to build")


def show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(fit_lines(f"note: {note}", sys.stdout))


def show_error(error: BuildError) -> None:
    warn(fit_lines(f"nexusbuild: {error}", sys.stderr))


def result_json(
    step: Step,
    state: str,
    seconds: float,
    peak_rss_bytes: int,
    record: Record | None,
    error: BuildError | None,
    expected: float | None,
) -> dict[str, Any]:
    """expected: how long it was thought to take before the build."""
    found: dict[str, Any] = {
        "id": step.target.id,
        "kind": step.target.kind,
        "state": state,
        "seconds": round(seconds, 3),
        "peak_rss_bytes": peak_rss_bytes,
        "outputs": outputs_json(record.outputs) if record is not None else [],
        "reasons": [reason.to_json() for reason in step.reasons],
        "key": record.key if record is not None else step.key,
        "expected_seconds": _round_seconds(expected),
    }
    if record is not None and record.verdict is not None:
        found["verdict"] = record.verdict
    if error is not None:
        found["error"] = error.to_json()
    return found


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _round_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
