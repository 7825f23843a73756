"""nexusbuild why TARGET: why it is stale, or what it was built from."""

from __future__ import annotations

import argparse
import json
import sys

from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import Project, find_place
from nexusbuild.readable import pluralize, readable_size
from nexusbuild.rule.graph import input_target
from nexusbuild.rule.plan import Step, World, make_plan
from nexusbuild.rule.reasons import Reason, differences
from nexusbuild.rule.record import Record
from nexusbuild.rule.selectors import select_targets
from nexusbuild.show.plan_notes import damaged_records
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.show.terminal import fit_lines, wrap_lines
from nexusbuild.show.wording import describe_reason, show_notes
from nexusbuild.store.buildlog import find_build


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="id, kind, glob, +up, down+")
    parser.add_argument(
        "--against",
        metavar="BUILD",
        help="compare with an earlier build, by its number in `nexusbuild log`",
    )
    parser.add_argument(
        "--modules", action="store_true", help="list the modules of its code with their digests"
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    project = Project(find_place(arguments.file, arguments.store, arguments.resolver))
    world = project.world()
    steps = make_plan(world)
    then: dict[str, str] = {}
    if arguments.against is not None:
        then = dict(find_build(project.store.root, arguments.against).keys)
    documents = []
    for target in select_targets(project.graph, arguments.targets):
        step = steps[target]
        reasons = step.reasons
        if arguments.against is not None:
            earlier = project.store.record(then[target]) if target in then else None
            reasons = _against(step, earlier, world, steps)
        record = step.record or project.result(target)
        if arguments.json:
            documents.append(_document(step, reasons, record))
        else:
            _show(step, reasons, record, arguments.modules, arguments.against)
    if arguments.json:
        print_json({"targets": documents})
    else:
        for note in damaged_records(project, [step.target.id for step in steps.values()]):
            warn(note)
    return 0


def _against(
    step: Step, earlier: Record | None, world: World, steps: dict[str, Step]
) -> tuple[Reason, ...]:
    inputs = {
        role: steps[input_target(reference)].digest(reference)
        for role, reference in step.target.inputs.items()
    }
    return differences(earlier, step.target, world.today, inputs)


def _document(step: Step, reasons: tuple[Reason, ...], record: Record | None) -> dict[str, object]:
    return {
        "id": step.target.id,
        "state": step.state,
        "reasons": [reason.to_json() for reason in reasons],
        "key": step.key,
        "notes": list(step.notes),
        "record": record.to_json() if record is not None else None,
    }


def _say(line: str) -> None:
    say(fit_lines(line, sys.stdout))


def _show(
    step: Step,
    reasons: tuple[Reason, ...],
    record: Record | None,
    modules: bool,
    against: str | None,
) -> None:
    since = f", since build {against}" if against is not None else ""
    _say(f"{step.target.id}: {step.state}{since}")
    for reason in reasons:
        unknown = against is not None and reason.code == "never-built"
        _say("  it had no result then" if unknown else f"  {describe_reason(reason)}")
    if against is not None and not reasons:
        _say("  nothing changed")
    show_notes(step.notes)
    if record is None:
        _say("  it has no result in the store")
        return
    _say("its last result was built from" if reasons else "built from")
    for name, value in record.settings.items():
        _say(f"  setting  {name} = {json.dumps(value, ensure_ascii=False)}")
    for role, use in record.inputs.items():
        _say(f"  input    {role} = {use.reference}  {use.digest[:12]}")
    for role, source in record.sources.items():
        _say(f"  source   {role} = {source.path}  {source.digest[:12]}")
    code = record.code
    count = pluralize(len(code.modules), "module")
    _say(f"  code     {record.work}  {code.fingerprint[:12]}, {count}")
    if modules:
        for module, digest in code.modules.items():
            _say(f"           {module}  {digest[:12]}")
    else:
        for line in wrap_lines(", ".join(code.modules), 11, sys.stdout):
            say(line)
    for output in record.outputs:
        _say(f"  output   {output.path}  {output.sha256[:12]}  {readable_size(output.bytes)}")
    provenance = record.provenance
    _say(f"  built    {provenance.get('finished')} in {provenance.get('seconds')} s")
    if record.imported is not None:
        _say(f"  imported from {record.imported['from']}, {record.imported['when']}")
    for name, value in sorted(provenance.get("measured", {}).items()):
        _say(f"  measured {name} {value:.6g}")
    for text in provenance.get("notes", ()):
        _say(f"  note     {text}")
    for accepted in provenance.get("accepted", ()):
        _say(f"  accepted {accepted['when']} by {accepted['who']}: {accepted['why']}")


command = Command("why", "Why is it stale, or what was it built from.", configure, run)
