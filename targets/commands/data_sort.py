"""`nexusbuild data sort`: raw data into capability folders, by its rows; undoable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nexusbuild.plugins import add_json, print_json, say
from raw_data import journal
from raw_data.sort_plan import SortPlan, plan_sort, show_path
from raw_data.sorting import LEAST_CONFIDENCE
from targets.commands.command import DONE, FAILED, complain, count_phrase, in_words, refusal, width

NAME = "sort"
HELP = "sort raw data into folders of what it could teach, by what its rows hold"
EXAMPLES = """\
Looks into every file (JSON Lines, JSON, CSV, parquet, transcripts, text, also
gzipped; audio, images, video) and moves it to datasets/<capability>/. Names of
files decide nothing. What is not sure enough stays, with the reason. Nothing is
overwritten, and --undo puts everything back.

examples:
  nexusbuild data sort raw --dry-run         what would go where, and why
  nexusbuild data sort raw                   move
  nexusbuild data sort raw --link            leave the files, make links to them
  nexusbuild data sort raw --to sets         into sets/<capability>/
  nexusbuild data sort raw --confidence 0.8  move only what is as sure as that
  nexusbuild data sort --undo                put back what the last sort moved
"""
INTO = "datasets"


def configure(parser: argparse.ArgumentParser) -> None:
    """Which folder, where to, and how."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="where the raw data lies")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show it; move nothing")
    parser.add_argument("--undo", action="store_true", help="put back what the last sort moved")
    parser.add_argument("--link", action="store_true", help="link to the files; do not move them")
    parser.add_argument(
        "--to", metavar="FOLDER", default=INTO, help=f"where the folders go (default: {INTO})"
    )
    parser.add_argument(
        "--confidence",
        type=_share,
        default=LEAST_CONFIDENCE,
        metavar="SHARE",
        help=f"how sure it must be of a file (default: {LEAST_CONFIDENCE})",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask on a terminal")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Sort, show what a sort would do, or undo the last one."""
    into = Path(arguments.to).resolve()
    try:
        if arguments.undo:
            return _undo(arguments, into)
        if arguments.folder is None:
            raise refusal("say which folder to sort: nexusbuild data sort FOLDER")
        folder = Path(arguments.folder)
        if not folder.is_dir():
            raise refusal(f"{folder} is not a folder")
        if folder.resolve() == into:
            message = f"{folder} is where the sorted files go; name a folder in it, or --to another"
            raise refusal(message)
        act = _dry_run if arguments.dry_run else _sort
        return act(arguments, folder.resolve(), into)
    except (journal.JournalError, OSError) as error:
        raise refusal(in_words(error)) from None


def _dry_run(arguments: argparse.Namespace, folder: Path, into: Path) -> int:
    waiting = journal.find_unfinished(into)
    plan = _make_plan(arguments, folder, into)
    document = _document(arguments, plan)
    if waiting is not None:
        document["unfinished"] = os.fspath(waiting.path)
        interrupted = f"a sort of {show_path(waiting.origin)} was interrupted"
        _tell(arguments, [f"{interrupted}: it would be finished first"])
    _tell(arguments, plan.lines("would be ", width()))
    return _finish(arguments, document, [])


def _sort(arguments: argparse.Namespace, folder: Path, into: Path) -> int:
    troubles: list[journal.Trouble] = []
    with journal.alone(into):
        waiting = journal.find_unfinished(into)
        if waiting is not None:
            troubles += journal.carry_out(waiting)
            interrupted = f"the sort of {show_path(waiting.origin)} that was interrupted"
            _tell(arguments, [f"finished {interrupted}"])
        plan = _make_plan(arguments, folder, into)
        document = _document(arguments, plan)
        if waiting is not None:
            document["finished"] = os.fspath(journal.done_path(waiting))
        asks = plan.placed and not arguments.yes and not arguments.json and _at_a_terminal()
        will = "to be " if asks else ""
        _tell(arguments, plan.lines(will, width()))
        if asks and not _ask_agreement():
            _tell(arguments, ["nothing else was changed" if waiting else "nothing was changed"])
        elif plan.placed:
            moves = [journal.Move(folder / one.finding.path, one.place) for one in plan.placed]
            written = journal.write(into, folder, moves, links=arguments.link)
            troubles += journal.carry_out(written)
            document["journal"] = os.fspath(journal.done_path(written))
            _tell(arguments, [f"done; {_command(arguments)} --undo takes it back"])
    return _finish(arguments, document, troubles)


def _undo(arguments: argparse.Namespace, into: Path) -> int:
    last = journal.latest(into)
    if last is None:
        raise refusal(f"there is no sort into {show_path(into)} to undo")
    gone = "removed" if last.links else f"put back into {show_path(last.origin)}"
    kind = "link" if last.links else "file"
    document: dict[str, Any] = {"undone": os.fspath(last.path), "dry_run": arguments.dry_run}
    document["files"] = [
        {"from": os.fspath(m.place), "to": os.fspath(m.source)} for m in last.moves
    ]
    if arguments.dry_run:
        _tell(arguments, [f"{count_phrase(len(last.moves), kind)} would be {gone}"])
        return _finish(arguments, document, [])
    with journal.alone(into):
        troubles = journal.undo(last)
    _tell(arguments, [f"{count_phrase(len(last.moves) - len(troubles), kind)} {gone}"])
    return _finish(arguments, document, troubles)


def _make_plan(arguments: argparse.Namespace, folder: Path, into: Path) -> SortPlan:
    return plan_sort(
        folder, into, arguments.confidence, written=arguments.folder, links=arguments.link
    )


def _document(arguments: argparse.Namespace, plan: SortPlan) -> dict[str, Any]:
    return {**plan.to_json(), "dry_run": arguments.dry_run}


def _finish(
    arguments: argparse.Namespace, document: dict[str, Any], troubles: Sequence[journal.Trouble]
) -> int:
    code = FAILED if troubles else DONE
    if arguments.json:
        told = [{"path": os.fspath(one.path), "why": one.why} for one in troubles]
        print_json({**document, "troubles": told, "exit_code": code})
    complain(f"{show_path(one.path)} stays: {one.why}" for one in troubles)
    return code


def _at_a_terminal() -> bool:
    """Whether there is a person to ask; whoever else calls has said so by the command."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask_agreement() -> bool:
    sys.stdout.write("go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    if not arguments.json:
        for line in lines:
            say(line)


def _command(arguments: argparse.Namespace) -> str:
    there = "" if arguments.to == INTO else f" --to {arguments.to}"
    return f"nexusbuild data sort{there}"


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return value
