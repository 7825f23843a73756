"""nexusbuild lock [--upgrade NAME]: write nexus.lock; let named groups be resolved again."""

from __future__ import annotations

import argparse

from nexusbuild import errors
from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import Place, Project, find_place
from nexusbuild.readable import display_path
from nexusbuild.rule.lock import Lock, read_lock, write_lock
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.store.lock_file import builder_lock


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--upgrade",
        action="append",
        default=[],
        metavar="NAME",
        help="what is pinned and shall follow today's inputs (a group, or `all`)",
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    if not place.store.exists():
        _ = Project(place, _kept(place, arguments.upgrade))  # what is wrong leaves no store behind
    with builder_lock(place.store, "nexusbuild lock", warn):
        before = read_lock(place.lock)
        kept = _kept(place, arguments.upgrade)
        project = Project(place, kept)
        pins = {target: pin for target, pin in kept.pins.items() if target in project.graph.targets}
        after = Lock(project.graph.lock_values, pins)
        written = write_lock(place.lock, after)
    changes = [
        f"{group}: {_short(before.values.get(group))} -> {_short(after.values.get(group))}"
        for group in sorted({*before.values, *after.values})
        if before.values.get(group) != after.values.get(group)
    ]
    changes += [f"{target} is no longer pinned" for target in before.pins if target not in pins]
    if arguments.json:
        print_json({"lock": display_path(place.lock), "written": written, "changes": changes})
    else:
        for change in changes:
            say(change)
        say(f"{display_path(place.lock)} {'written' if written else 'is up to date'}")
        if arguments.upgrade:
            say("the next build makes and pins what is new; --dry-run shows what follows from it")
    return 0


def _kept(place: Place, upgraded: list[str]) -> Lock:
    """The lock without the groups that are to be built again."""
    lock = read_lock(place.lock)
    groups = lock.groups()
    if not groups:
        groups = {each.pin for each in Project(place).graph if each.pin is not None}
    for name in sorted({*upgraded} - groups - {"all"}):
        raise errors.no_such_pin(name, groups)
    return lock.without(groups if "all" in upgraded else upgraded)


def _short(value: object) -> str:
    return "none" if value is None else str(value)


command = Command("lock", "Write nexus.lock; upgrade what is pinned.", configure, run)
