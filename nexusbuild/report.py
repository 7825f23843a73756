"""Plans and builds in words and as JSON. Decides nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from nexusbuild.errors import BuildError
from nexusbuild.plan import Step, Steps
from nexusbuild.reasons import Reason
from nexusbuild.record import Record, outputs_json

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
_SHOWN_REASONS = 3


def say(text: str) -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(document: Mapping[str, Any]) -> None:
    """The one document on standard output."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def plan_json(steps: Iterable[Step], expected: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "id": step.target.id,
            "kind": step.target.kind,
            "state": step.state,
            "reasons": [reason.to_json() for reason in step.reasons],
            "key": step.key,
            "expected_seconds": _rounded(expected.get(step.target.id)),
        }
        for step in steps
    ]


def counts(states: Iterable[str], known: Sequence[str]) -> dict[str, int]:
    found = list(states)
    return {state: found.count(state) for state in known}


def wrapped(text: str, indent: int) -> list[str]:
    """The text in lines that fit the terminal, or 100 columns where there is none."""
    from textwrap import wrap

    width = os.get_terminal_size().columns if sys.stdout.isatty() else 100
    space = " " * indent
    return wrap(text, max(width, indent + 20), initial_indent=space, subsequent_indent=space)


def fitted(text: str, stream: TextIO) -> str:
    """The text, each line of it wrapped to the terminal under its own indent; elsewhere as it is:
    scripts and logs search for whole lines.
    """
    from textwrap import wrap

    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return text
    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += wrap(
            line,
            max(width, len(indent) + 20),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def counted(number: int, one: str) -> str:
    """`1 result`, `2 results`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def words(reason: Reason, folder: Path | None = None) -> str:
    """One reason, as a person reads it; paths as seen from `folder`, or from where they are."""
    if reason.code == "setting-changed":
        return f"{reason.path}: {_value(reason.old)} -> {_value(reason.new)}"
    if reason.code == "source-changed" and reason.instead_of is not None:
        return f"{_near(reason.path, folder)} is read instead of {_near(reason.instead_of, folder)}"
    if reason.code == "source-changed":
        path = _near(reason.path, folder)
        if reason.old is None:
            return f"{path} is new"
        return f"{path} {'is no longer read' if reason.new is None else 'changed'}"
    if reason.code == "code-changed":
        if reason.old is None:
            return f"code: {reason.path} is new to it"
        return f"code: {reason.path} changed" if reason.new else f"code: {reason.path} is gone"
    if reason.code == "source-missing":
        if reason.input is not None:
            return f"{reason.input} is blocked"
        remedy = f" ({reason.remedy})" if reason.remedy else ""
        return f"{_near(reason.path, folder)} is missing{remedy}"
    return {
        "never-built": "never built",
        "forced": "forced",
        "not-buildable": f"{reason.remedy}",
        "input-rebuilt": f"{reason.input} changed or will be rebuilt",
        "input-added": f"{reason.input} is a new input",
        "input-removed": f"{reason.input} is no longer an input",
        "output-missing": f"{reason.path} is gone from the store and needed",
    }[reason.code]


def weightiest_first(reasons: Sequence[Reason]) -> list[Reason]:
    """What blocks it says most, and its own changes more than those of its inputs."""
    blocks = ("not-buildable", "source-missing")
    return sorted(
        reasons, key=lambda reason: (reason.code not in blocks, reason.code.startswith("input"))
    )


def why_in_short(reasons: Sequence[Reason]) -> str:
    """The weightiest reasons; how to get what is missing is said once, below all of them."""
    ordered = [
        replace(reason, remedy=None) if reason.code == "source-missing" else reason
        for reason in weightiest_first(reasons)
    ]
    shown = "; ".join(words(reason) for reason in ordered[:_SHOWN_REASONS])
    more = len(reasons) - _SHOWN_REASONS
    return f"{shown}; and {more} more" if more > 0 else shown


def show_plan(steps: Steps, targets: Sequence[str], notes: Sequence[str], everything: bool) -> None:
    rows = [
        (steps[each].state, each, why_in_short(steps[each].reasons))
        for each in targets
        if everything or steps[each].state != "fresh"
    ]
    show_rows(rows)
    show_missing(steps, targets)
    show_counts(counts((steps[each].state for each in targets), PLAN_STATES))
    show_notes(notes)


def show_missing(steps: Steps, targets: Sequence[str]) -> None:
    """What blocked targets wait for and how to get it, each once, whatever the terminal's width."""
    missing = {
        reason.path: reason.remedy
        for each in targets
        if steps[each].state == "blocked" and steps[each].target.obstacle is None
        for reason in steps[each].reasons
        if reason.code == "source-missing" and reason.path is not None
    }
    if missing:
        say("missing:")
    for path, remedy in missing.items():
        say(f"  {_near(path)}")
        if remedy:
            say(f"      {remedy}")


def show_rows(rows: Sequence[tuple[str, str, str]]) -> None:
    """state, id and detail, aligned; coloured on a terminal and cut to its width."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = os.get_terminal_size().columns if sys.stdout.isatty() else None
    longest = max((len(row[1]) for row in rows), default=0)
    for state, target, detail in rows:
        line = f"{state:<7} {target:<{longest}}  {detail}".rstrip()
        if width is not None and len(line) > width:
            line = line[: width - 1] + "…"
        if colour:
            line = f"\x1b[{_COLOURS.get(state, '0')}m{line[:7]}\x1b[0m{line[7:]}"
        say(line)


def show_counts(summary: Mapping[str, int]) -> None:
    parts = [f"{count} {state}" for state, count in summary.items() if count]
    say(", ".join(parts) or "nothing to build")


def show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {note}")


def show_error(error: BuildError) -> None:
    warn(fitted(f"nexusbuild: {error}", sys.stderr))


def result_json(
    step: Step,
    state: str,
    seconds: float,
    peak_rss_bytes: int,
    record: Record | None,
    error: BuildError | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": step.target.id,
        "kind": step.target.kind,
        "state": state,
        "seconds": round(seconds, 3),
        "peak_rss_bytes": peak_rss_bytes,
        "outputs": outputs_json(record.outputs) if record is not None else [],
        "reasons": [reason.to_json() for reason in step.reasons],
        "key": record.key if record is not None else step.key,
    }
    if record is not None and record.verdict is not None:
        found["verdict"] = record.verdict
    if error is not None:
        found["error"] = error.to_json()
    return found


def readable_size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def readable_age(seconds: float) -> str:
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400)} days"


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _near(path: str | None, folder: Path | None = None) -> str:
    if path is None or not Path(path).is_absolute():
        return path or ""
    try:
        return str(Path(path).relative_to(folder or Path.cwd()))
    except ValueError:
        return path


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
