"""nexusbuild accept TARGET --why TEXT: a change of code is harmless to this target's results."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from nexusbuild import errors
from nexusbuild.command import Command, add_json, add_place
from nexusbuild.digest.fingerprint import Code
from nexusbuild.project import Project, find_place
from nexusbuild.readable import pluralize
from nexusbuild.rule.record import Record
from nexusbuild.rule.selectors import select_targets
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.store.lock_file import builder_lock


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="id, kind, glob, +up, down+")
    parser.add_argument(
        "--why", required=True, type=_said, metavar="TEXT", help="why the change is harmless"
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    note = {
        "who": getpass.getuser(),
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "why": arguments.why,
    }
    accepted: dict[str, int] = {}
    if not place.store.exists():
        # What is wrong with the spec or the command leaves no store behind; and nothing is in it.
        chosen = select_targets(Project(place).graph, arguments.targets)
        raise errors.no_result(", ".join(chosen))
    with builder_lock(place.store, "nexusbuild accept", warn):
        project = Project(place)
        project.store.prepare()
        chosen = select_targets(project.graph, arguments.targets)
        today = project.today()
        for target in chosen:
            current = project.result(target)
            if current is None:
                if len(chosen) == 1:
                    raise errors.no_result(target)
                continue
            code = today.code_of(project.graph[target])
            if code.fingerprint == current.code.fingerprint:
                continue
            accepted[target] = _carry_over(project, current, code, note)
    if not accepted:
        raise errors.nothing_to_accept(
            " ".join(arguments.targets), "its code is what its results were made by"
        )
    if arguments.json:
        print_json({"accepted": accepted, **note})
    else:
        for target, count in accepted.items():
            say(f"{target}: {pluralize(count, 'result')} kept under the new code")
    return 0


def _said(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("say why the change is harmless")
    return text.strip()


def _carry_over(project: Project, current: Record, code: Code, note: Mapping[str, Any]) -> int:
    """Every result of the target that was made by the same code as its current one."""
    store = project.store
    count = 0
    for key in store.record_keys():
        record = store.record(key)
        if record is None or record.target != current.target:
            continue
        if record.code.fingerprint != current.code.fingerprint:
            continue
        earlier = record.provenance.get("accepted", [])
        mark = {**note, "from_key": record.key, "from_code": record.code.fingerprint}
        fresh = record.with_code(code, {**record.provenance, "accepted": [*earlier, mark]})
        if store.record(fresh.key) is None:
            store.add_record(fresh)
        count += 1
        if record.key == current.key:
            store.set_current(current.target, fresh.key)
            if store.published(current.target) == record.key:
                store.set_published(current.target, fresh.key)
    return count


command = Command(
    "accept", "A change of code is harmless to a target's results: keep them.", configure, run
)
