"""nexusbuild ls [SELECTOR...]: targets with state, size, duration, age."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone

from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import Project, find_place
from nexusbuild.readable import readable_age, readable_size
from nexusbuild.rule.plan import Step, make_plan
from nexusbuild.rule.record import Record
from nexusbuild.rule.selectors import select_targets
from nexusbuild.show.plan_notes import damaged_records
from nexusbuild.show.streams import print_json, say, warn


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", metavar="SELECTOR", help="id, kind, glob, +up, down+")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    project = Project(find_place(arguments.file, arguments.store, arguments.resolver))
    steps = make_plan(project.world())
    chosen = [steps[target] for target in select_targets(project.graph, arguments.targets)]
    records = {step.target.id: step.record or project.result(step.target.id) for step in chosen}
    if arguments.json:
        print_json({"targets": [_row(step, records[step.target.id]) for step in chosen]})
        return 0
    for note in damaged_records(project, [step.target.id for step in chosen]):
        warn(note)
    longest = max((len(step.target.id) for step in chosen), default=0)
    if chosen:
        head = f"{'target':<{longest}} {'size':>8} {'took':>9} {'age':>8} verdict"
        say(f"{'state':<7} {head}")
    for step in chosen:
        record = records[step.target.id]
        size, seconds, age, verdict = _columns(record)
        say(
            f"{step.state:<7} {step.target.id:<{longest}} {size:>8} {seconds:>9} {age:>8} {verdict}"
        )
    return 0


def _columns(record: Record | None) -> tuple[str, str, str, str]:
    """size, duration, age, verdict as a person reads them."""
    if record is None:
        return "-", "-", "-", ""
    age = _age(record.provenance.get("finished"))
    seconds = record.provenance.get("seconds")
    return (
        readable_size(record.bytes),
        f"{seconds:.1f} s" if isinstance(seconds, (int, float)) else "-",
        readable_age(age) if age is not None else "-",
        str((record.verdict or {}).get("verdict", "")),
    )


def _row(step: Step, record: Record | None) -> dict[str, object]:
    provenance = record.provenance if record is not None else {}
    verdict = record.verdict if record is not None else None
    return {
        "id": step.target.id,
        "kind": step.target.kind,
        "state": step.state,
        "key": record.key if record is not None else None,
        "bytes": record.bytes if record is not None else None,
        "seconds": provenance.get("seconds"),
        "peak_rss_bytes": provenance.get("peak_rss_bytes"),
        "age_seconds": _age(provenance.get("finished")),
        "verdict": verdict.get("verdict") if verdict is not None else None,
    }


def _age(finished: object) -> float | None:
    if not isinstance(finished, str):
        return None
    return (datetime.now(timezone.utc) - datetime.fromisoformat(finished)).total_seconds()


command = Command("ls", "Targets with state, size, duration, age.", configure, run)
