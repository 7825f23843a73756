"""nexusbuild gc: drop what no kept build refers to."""

from __future__ import annotations

import argparse

from nexusbuild.command import Command, add_json, add_place, positive
from nexusbuild.project import find_place
from nexusbuild.readable import pluralize, readable_size
from nexusbuild.rule.lock import read_lock
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.store.garbage import collect, find_garbage
from nexusbuild.store.lock_file import builder_lock
from nexusbuild.store.store import Store

KEPT_BUILDS = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        type=positive,
        default=KEPT_BUILDS,
        metavar="N",
        help="builds to keep (default: 10)",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would be dropped")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    store = Store(place.store)
    pinned = [pin.key for pin in read_lock(place.lock).pins.values()]
    if arguments.dry_run or not place.store.exists():
        found = find_garbage(store, arguments.keep, pinned)
    else:
        with builder_lock(place.store, "nexusbuild gc", warn):
            found = find_garbage(store, arguments.keep, pinned)
            collect(store, found)
    if arguments.json:
        print_json(
            {
                "results": len(found.keys),
                "objects": len(found.objects),
                "scratch": len(found.scratch),
                "bytes": found.bytes,
                "dry_run": arguments.dry_run,
            }
        )
    else:
        verb = "would drop" if arguments.dry_run else "dropped"
        say(
            f"{verb} {pluralize(len(found.keys), 'result')}, "
            f"{pluralize(len(found.objects), 'file')} and "
            f"{pluralize(len(found.scratch), 'checkpoint')}: {readable_size(found.bytes)}"
        )
    return 0


command = Command("gc", "Drop what no kept build refers to.", configure, run)
