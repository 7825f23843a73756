"""nexusbuild store export SELECTOR... FILE | store import FILE: carry results between machines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from nexusbuild import errors
from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import Project, find_place
from nexusbuild.readable import pluralize, readable_size
from nexusbuild.rule.made_again import has_all_sources, made_again
from nexusbuild.rule.record import Record
from nexusbuild.rule.selectors import select_targets
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.store.archive import check_readable, export_results, import_results
from nexusbuild.store.lock_file import builder_lock


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="export|import")
    out = actions.add_parser("export", help="write the current results of targets to a file")
    out.add_argument("targets", nargs="+", metavar="SELECTOR", help="id, kind, glob, +up, down+")
    into = actions.add_parser("import", help="take results from a file into the store")
    for each in (out, into):
        each.add_argument("archive", type=Path, metavar="FILE")
        add_place(each)
        add_json(each)


def run(arguments: argparse.Namespace) -> int:
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    left_out: Mapping[str, str] = {}
    if arguments.action == "export":
        project = Project(place)
        chosen = select_targets(project.graph, arguments.targets)
        found = {target: project.result(target) for target in chosen}
        records = [record for record in found.values() if record is not None]
        if not records:
            raise errors.no_result(", ".join(chosen))
        for target, record in found.items():
            if record is None:
                warn(f"{target} has no result yet and is left out")
        export_results(project.store, records, arguments.archive)
        targets = [record.target for record in records]
    else:
        # What is wrong with the spec or the file leaves no store behind.
        check_readable(arguments.archive)
        project = Project(place)
        with builder_lock(place.store, "nexusbuild store import", warn):
            project.store.prepare()
            imported = import_results(project.store, arguments.archive, partial(_left, project))
        left_out = imported.left_out
        targets = list(imported.taken)
    size = arguments.archive.stat().st_size
    if arguments.json:
        document = {"file": str(arguments.archive), "targets": targets, "bytes": size}
        print_json(document | ({} if arguments.action == "export" else {"left_out": left_out}))
    else:
        say(f"{arguments.action}ed {pluralize(len(targets), 'result')}, {readable_size(size)}")
        _say_what_is_left_out(left_out)
    return 0


def _left(project: Project, offered: Sequence[Record]) -> dict[str, str]:
    has_sources = has_all_sources(project.graph, project.place.folder)
    return made_again(project.graph, offered, has_sources)


def _say_what_is_left_out(left_out: Mapping[str, str]) -> None:
    if left_out:
        say(f"left out, to be made here: {pluralize(len(left_out), 'result')}")
    for target, why in sorted(left_out.items()):
        say(f"  {target}: {why}")


command = Command("store", "Carry results between machines.", configure, run)
