"""`nexusbuild data sort`: raw data into capability folders, by its rows; undoable."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nexusbuild.plugins import add_json, print_json, say
from raw_data import journal
from raw_data.findings import Finding, findings
from raw_data.sorting import LEAST_CONFIDENCE, Placed, sorted_files
from targets.commands.command import DONE, FAILED, complain, counted, in_words, refusal, width

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
LISTED_ALONE = 2
LEFT_NAMED = 3


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
    waiting = journal.unfinished(into)
    placed, stay = _planned(arguments, folder, into)
    document = _document(arguments, placed, stay, into)
    if waiting is not None:
        document["unfinished"] = os.fspath(waiting.path)
        interrupted = f"a sort of {_shown(waiting.origin)} was interrupted"
        _tell(arguments, [f"{interrupted}: it would be finished first"])
    _tell(arguments, _overview(arguments, placed, stay, into, "would be "))
    return _finished(arguments, document, [])


def _sort(arguments: argparse.Namespace, folder: Path, into: Path) -> int:
    troubles: list[journal.Trouble] = []
    with journal.alone(into):
        waiting = journal.unfinished(into)
        if waiting is not None:
            troubles += journal.carry_out(waiting)
            interrupted = f"the sort of {_shown(waiting.origin)} that was interrupted"
            _tell(arguments, [f"finished {interrupted}"])
        placed, stay = _planned(arguments, folder, into)
        document = _document(arguments, placed, stay, into)
        if waiting is not None:
            document["finished"] = os.fspath(waiting.path.with_name(_done(waiting)))
        asks = placed and not arguments.yes and not arguments.json and _at_a_terminal()
        will = "to be " if asks else ""
        _tell(arguments, _overview(arguments, placed, stay, into, will))
        if asks and not _agreed():
            _tell(arguments, ["nothing else was changed" if waiting else "nothing was changed"])
        elif placed:
            moves = [journal.Move(folder / one.finding.path, one.place) for one in placed]
            written = journal.write(into, folder, moves, links=arguments.link)
            troubles += journal.carry_out(written)
            document["journal"] = os.fspath(written.path.with_name(_done(written)))
            _tell(arguments, [f"done; {_command(arguments)} --undo takes it back"])
    return _finished(arguments, document, troubles)


def _done(written: journal.Journal) -> str:
    """What the journal's file is called when all of it has happened."""
    return written.path.name.replace(journal.OPEN, journal.DONE)


def _undo(arguments: argparse.Namespace, into: Path) -> int:
    last = journal.latest(into)
    if last is None:
        raise refusal(f"there is no sort into {_shown(into)} to undo")
    gone = "removed" if last.links else f"put back into {_shown(last.origin)}"
    kind = "link" if last.links else "file"
    document: dict[str, Any] = {"undone": os.fspath(last.path), "dry_run": arguments.dry_run}
    document["files"] = [
        {"from": os.fspath(m.place), "to": os.fspath(m.source)} for m in last.moves
    ]
    if arguments.dry_run:
        _tell(arguments, [f"{counted(len(last.moves), kind)} would be {gone}"])
        return _finished(arguments, document, [])
    with journal.alone(into):
        troubles = journal.undo(last)
    _tell(arguments, [f"{counted(len(last.moves) - len(troubles), kind)} {gone}"])
    return _finished(arguments, document, troubles)


def _planned(
    arguments: argparse.Namespace, folder: Path, into: Path
) -> tuple[list[Placed], list[Finding]]:
    return sorted_files(findings(folder, without=into), into, arguments.confidence)


def _document(
    arguments: argparse.Namespace, placed: Sequence[Placed], stay: Sequence[Finding], into: Path
) -> dict[str, Any]:
    places = {one.finding.path: os.fspath(one.place) for one in placed}
    found = sorted([*(one.finding for one in placed), *stay], key=lambda one: one.path)
    return {
        "folder": arguments.folder,
        "to": os.fspath(into),
        "dry_run": arguments.dry_run,
        "links": arguments.link,
        "files": [
            {
                "path": one.path.as_posix(),
                "kind": one.kind,
                "capability": one.capability,
                "confidence": one.confidence,
                "reason": one.reason,
                "to": places.get(one.path),
            }
            for one in found
        ],
        "sorted": len(placed),
        "left": len(stay),
    }


def _finished(
    arguments: argparse.Namespace, document: dict[str, Any], troubles: Sequence[journal.Trouble]
) -> int:
    code = FAILED if troubles else DONE
    if arguments.json:
        told = [{"path": os.fspath(one.path), "why": one.why} for one in troubles]
        print_json({**document, "troubles": told, "exit_code": code})
    complain(f"{_shown(one.path)} stays: {one.why}" for one in troubles)
    return code


def _at_a_terminal() -> bool:
    """Whether there is a person to ask; whoever else calls has said so by the command."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _agreed() -> bool:
    sys.stdout.write("go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _overview(
    arguments: argparse.Namespace,
    placed: Sequence[Placed],
    stay: Sequence[Finding],
    into: Path,
    will: str,
) -> Iterator[str]:
    """What goes where and what stays: a heading each, files of one folder and reason together."""
    done = f"{will}{'linked' if arguments.link else 'moved'}"
    by_place: dict[str, list[Finding]] = defaultdict(list)
    for one in placed:
        by_place[one.finding.capability or ""].append(one.finding)
    for capability in sorted(by_place):
        group = by_place[capability]
        yield f"{_shown(into / capability)}: {counted(len(group), 'file')} {done}"
        yield from _listed(group)
    if stay:
        yield f"{counted(len(stay), 'file')} left in {arguments.folder}"
        yield from _left(stay)
    if not placed:
        yield f"nothing in {arguments.folder} to sort"


def _listed(found: Sequence[Finding]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in found:
        reason = re.sub(r", in \d+% of the rows$", "", one.reason)
        groups[one.path.parent.as_posix(), reason].append(one)
    for (folder, reason), group in groups.items():
        if len(group) <= LISTED_ALONE:
            for one in group:
                yield _line(one.path.as_posix(), group=[one], reason=one.reason)
        else:
            files = counted(len(group), "file")
            yield _line(
                files if folder == "." else f"{folder}/  {files}", group=group, reason=reason
            )


def _left(stay: Sequence[Finding]) -> Iterator[str]:
    """By reason: what stays lies scattered."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for one in stay:
        groups[one.reason].append(one)
    for reason, group in groups.items():
        names = [one.path.as_posix() for one in group[:LEFT_NAMED]]
        more = f" and {len(group) - LEFT_NAMED:,} more" if len(group) > LEFT_NAMED else ""
        yield _line(f"{', '.join(names)}{more}", group=group, reason=reason)


def _line(name: str, group: Sequence[Finding], reason: str) -> str:
    lowest, highest = (pick(one.confidence for one in group) for pick in (min, max))
    sure = f"{lowest:.0%}" if lowest == highest else f"{lowest:.0%} to {highest:.0%}"
    if highest:
        reason = f"{sure} sure: {reason}"
    return textwrap.fill(
        f"{name}: {reason}", width(), initial_indent="  ", subsequent_indent="      ",
        break_on_hyphens=False,
    )  # fmt: skip


def _tell(arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    if not arguments.json:
        for line in lines:
            say(line)


def _command(arguments: argparse.Namespace) -> str:
    there = "" if arguments.to == INTO else f" --to {arguments.to}"
    return f"nexusbuild data sort{there}"


def _shown(path: Path) -> str:
    """As a person here would write it."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return value
