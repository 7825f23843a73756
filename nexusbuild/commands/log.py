"""nexusbuild log [BUILD]: earlier builds; what each did, how long it took."""

from __future__ import annotations

import argparse
import time

from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import find_place
from nexusbuild.show.streams import print_json, say
from nexusbuild.show.wording import BUILD_STATES
from nexusbuild.store.buildlog import Build, find_build, read_builds


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("build", nargs="?", metavar="BUILD", help="one build in full (its number)")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    root = find_place(arguments.file, arguments.store, arguments.resolver).store
    if arguments.build is not None:
        build = find_build(root, arguments.build)
        if arguments.json:
            print_json(_document(build) | {"targets": [dict(each) for each in build.targets]})
        else:
            say(_line(build))
            for target in build.targets:
                say(f"  {target['state']:<7} {target['id']}  {target['seconds']} s")
        return 0
    builds = read_builds(root)
    if arguments.json:
        print_json({"builds": [_document(build) for build in builds]})
    else:
        for build in builds:
            say(_line(build))
        if not builds:
            say("nothing was built yet")
    return 0


def _line(build: Build) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(build.started))
    done = ", ".join(
        f"{build.count(state)} {state}" for state in BUILD_STATES if build.count(state)
    )
    took = f"{build.seconds:.1f} s" if build.seconds is not None else "killed"
    code = f", exit code {build.exit_code}" if build.exit_code else ""
    return (
        f"{build.number:>4}  {when}  {took:>9}  {done or 'nothing to do'}{code}  ({build.command})"
    )


def _document(build: Build) -> dict[str, object]:
    return {
        "build": build.number,
        "started": build.started,
        "seconds": build.seconds,
        "spec": build.spec,
        "command": build.command,
        "exit_code": build.exit_code,
        "summary": {state: build.count(state) for state in BUILD_STATES if state != "fresh"},
    }


command = Command("log", "Earlier builds.", configure, run)
