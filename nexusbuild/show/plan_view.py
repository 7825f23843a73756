"""A plan as a person reads it: what stands, what runs and why, what is missing, how much it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from nexusbuild.readable import display_path
from nexusbuild.rule.plan import Step, Steps
from nexusbuild.rule.reasons import Reason
from nexusbuild.show.streams import say
from nexusbuild.show.terminal import columns, fit_lines
from nexusbuild.show.wording import (
    PLAN_STATES,
    count_states,
    describe_reason,
    show_counts,
    show_notes,
    show_rows,
    sort_by_weight,
)

SCREEN = 24  # rows; more are folded on a terminal
_SHOWN_REASONS = 3


def show_plan(steps: Steps, targets: Sequence[str], notes: Sequence[str], everything: bool) -> None:
    """everything: a row for each target; else none for those that are fresh, and on a terminal
    one for all of a kind that are alike, where there are more than a screen holds.
    """
    shown = [steps[each] for each in targets if everything or steps[each].state != "fresh"]
    folded = not everything and len(shown) > SCREEN and columns(sys.stdout) is not None
    show_rows(_by_kind(shown) if folded else [_row(step) for step in shown])
    if folded:
        say("a row for each target: --verbose")
    _show_missing(steps, targets)
    show_notes(notes)
    show_counts(count_states((steps[each].state for each in targets), PLAN_STATES))


def _row(step: Step) -> tuple[str, str, str]:
    return step.state, step.target.id, short_reasons(step.reasons)


def _by_kind(steps: Sequence[Step]) -> list[tuple[str, str, str]]:
    """A row for all of a kind that are in one state for one reason; the kind selects them."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for step in steps:
        target = step.target
        groups.setdefault((step.state, target.kind, _reason_of_many(step)), []).append(target.id)
    return [
        (state, ids[0] if len(ids) == 1 else f"{kind} ({len(ids)})", reason)
        for (state, kind, reason), ids in groups.items()
    ]


def _reason_of_many(step: Step) -> str:
    """What targets have in common that wait for different things; these are listed below."""
    if step.state != "blocked":
        return short_reasons(step.reasons)
    if step.target.obstacle is not None:
        return "cannot be built yet"
    if any(each.code == "source-missing" and each.input is None for each in step.reasons):
        return "what it reads is missing"
    return "needs what is blocked"


def short_reasons(reasons: Sequence[Reason]) -> str:
    """The most important reasons. How to get what is missing is shown once, below all rows."""
    ordered = [
        replace(reason, remedy=None) if reason.code == "source-missing" else reason
        for reason in sort_by_weight(reasons)
    ]
    texts = list(dict.fromkeys(describe_reason(reason) for reason in ordered))
    shown = "; ".join(texts[:_SHOWN_REASONS])
    more = len(texts) - _SHOWN_REASONS
    return f"{shown}; and {more} more" if more > 0 else shown


def _show_missing(steps: Steps, targets: Sequence[str]) -> None:
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
        say(f"  {display_path(path)}")
        for line in (remedy or "").splitlines():
            say(fit_lines(f"      {line}", sys.stdout))
