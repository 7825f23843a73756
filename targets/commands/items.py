"""`nexusbuild items`: the eval prompts that a capability lost or gained, answers side by side."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from nexusbuild.plugins import (
    Command,
    ResolveError,
    add_file,
    add_json,
    add_store,
    built_files,
    positive,
    print_json,
    say,
)
from specs.problems import known_names, suggestion
from specs.values import ROUTER
from targets.commands.command import DONE, count_phrase, opened_spec, refusal, width
from targets.commands.excerpt import excerpt, labelled_lines
from targets.gate.items import Item, Items, Which, read_items

EXAMPLES = """\
Shows the eval prompts that the best teacher got right and the student did not,
both answers side by side, from the results of the last build. Nothing is built,
and no model is loaded.

examples:
  nexusbuild items reasoning                what was lost
  nexusbuild items reasoning --gained       what only the student gets right
  nexusbuild items tools --all --number 50  fifty of all prompts
  nexusbuild items tools --lost --json      all that was lost, for a program
"""
SHOWN = 10
PROMPT_LINES, ANSWER_LINES = 12, 20
NARROWEST_COLUMN = 24


def configure(parser: argparse.ArgumentParser) -> None:
    """Which capability, and which of its items."""
    parser.epilog = EXAMPLES
    parser.add_argument("capability", metavar="CAPABILITY")
    which = parser.add_mutually_exclusive_group()
    for name, text in (
        ("lost", "what the teacher got right and the student not (the default)"),
        ("gained", "what the student got right and the teacher not"),
        ("all", "every eval prompt"),
    ):
        which.add_argument(
            f"--{name}", dest="which", action="store_const", const=name, default="lost", help=text
        )
    parser.add_argument(
        "--number", type=positive, default=SHOWN, metavar="N", help=f"how many (default: {SHOWN})"
    )
    add_file(parser)
    add_store(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show them, or say why there are none to show."""
    path, spec = opened_spec(arguments)
    name: str = arguments.capability
    served = spec.served_capabilities()
    if name not in served:
        raise _not_served(name, served)
    result = built_files(path, arguments.store, f"gate:{name}")
    if result is None:
        message = f"gate:{name} was not built yet; nexusbuild gate:{name} builds it"
        raise refusal(message)
    if result.missing:
        message = (
            f"the answers behind gate:{name} are no longer in the store ({result.missing[0]} is "
            f"missing); nexusbuild --force gate:{name} makes them again"
        )
        raise refusal(message)
    items = read_items(name, result.outputs, result.inputs)
    if arguments.json:
        print_json(_document(items, arguments.which, result.state))
    else:
        _show(items, arguments.which, arguments.number, result.state)
    return DONE


def _not_served(name: str, served: Sequence[str]) -> ResolveError:
    router = " (the router has no teacher to compare with)" if name == ROUTER else ""
    return refusal(
        f'no such capability with a teacher: "{name}"{router}',
        f"allowed: {known_names(served)}{suggestion(name, served)}",
    )


def _document(items: Items, which: Which, state: str) -> dict[str, Any]:
    return {
        "capability": items.capability,
        "teacher": items.teacher,
        "metric": items.metric,
        "verdict": items.verdict,
        "state": state,
        "which": which,
        "items": [item.to_json() for item in items.chosen(which)],
    }


def _show(items: Items, which: Which, number: int, state: str) -> None:
    chosen = items.chosen(which)
    for line in overview(items, state):
        say(line)
    for place, item in enumerate(chosen[:number], start=1):
        for line in side_by_side(items, item, f"{place} of {len(chosen):,}", width()):
            say(line)
    if len(chosen) > number:
        say(f"\n{len(chosen) - number:,} more; --number says how many are shown")


def overview(items: Items, state: str = "fresh") -> Iterator[str]:
    """How the items went, in a few lines."""
    every = items.every
    lost, gained = len(items.chosen("lost")), len(items.chosen("gained"))
    text = (
        f"{items.capability}: {count_phrase(len(every), 'eval prompt')}, scored by {items.metric}; "
        f"teacher {items.teacher}. The student lost {lost:,} and gained {gained:,}; "
        f"verdict: {items.verdict}."
    )
    yield from textwrap.wrap(text, width())
    if state not in ("fresh", "cached"):
        yield f"note: gate:{items.capability} is {state}: this is of the last build"


def side_by_side(items: Items, item: Item, heading: str, columns: int) -> Iterator[str]:
    """A prompt, its reference, and the answers of teacher and student side by side."""
    yield ""
    marks = " (of a kind that training never had)" if item.held_out else ""
    yield f"-- {heading}{marks} ".ljust(columns, "-")
    yield from _labelled_lines("prompt", item.prompt, columns)
    if item.reference:
        yield from _labelled_lines("reference", item.reference, columns)
    half = max(NARROWEST_COLUMN, (columns - 3) // 2)
    left = _cell(f"teacher {items.teacher}: {_score(items, item.teacher_score)}", half)
    right = _cell(f"student: {_score(items, item.student_score)}", half)
    left += ["-" * len(left[-1]), *_cell(item.teacher_answer or "(nothing)", half)]
    right += ["-" * len(right[-1]), *_cell(item.student_answer or "(nothing)", half)]
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{half}} | {other}".rstrip()


def _labelled_lines(label: str, text: str, columns: int) -> Iterator[str]:
    return labelled_lines(label, text.rstrip("\n"), indent=11, columns=columns, most=PROMPT_LINES)


def _cell(text: str, columns: int) -> list[str]:
    return excerpt(text.rstrip("\n"), columns, ANSWER_LINES)


def _score(items: Items, score: float) -> str:
    if items.graded:
        return f"{score:.3g}"
    return "right" if score else "wrong"


command = Command("items", "eval prompts lost or gained, both answers side by side", configure, run)
