"""`nexusbuild report`: one page of HTML on what is built, how it scored and what is stale."""

from __future__ import annotations

import argparse
import time
import webbrowser
from pathlib import Path

from nexusbuild.plugins import (
    Command,
    add_file,
    add_json,
    add_store,
    built_files,
    overview,
    print_json,
    say,
)
from targets.commands.command import DONE, opened_spec
from targets.commands.whole_file import write_whole
from targets.report.facts import Project
from targets.report.page import page

EXAMPLES = """\
Writes one page that needs no network and no other file: the graph, what was
retained, earlier builds, what was lost, sizes, training, profiles, time and
memory, and what is stale now. Nothing is built, and no model is loaded.

examples:
  nexusbuild report                       build/report.html next to the spec
  nexusbuild report --open                and shows it in the browser
  nexusbuild report --output today.html   somewhere else

Ends with 0 where it was written, with 2 where the spec is wrong.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Where the page goes, and whether it is shown."""
    parser.epilog = EXAMPLES
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument(
        "--output", metavar="FILE", help="where to (default: build/report.html next to the spec)"
    )
    add_file(parser)
    add_store(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write it whole or not at all, and say where it lies."""
    path, spec = opened_spec(arguments)
    project = Project(
        spec.name,
        overview(str(path), arguments.store),
        lambda target: built_files(path, arguments.store, target),
        spec.hardware.ram,
        spec.hardware.vram,
        spec.hardware.disk,
    )
    file = Path(arguments.output) if arguments.output else path.parent / "build" / "report.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, page(project, time.time()))
    if arguments.json:
        print_json({"report": str(file), "bytes": file.stat().st_size})
    else:
        say(str(file))
        if not project.built:
            say("nothing is built yet; the page shows what a build would do")
    if arguments.open:
        webbrowser.open(file.resolve().as_uri())
    return DONE


command = Command("report", "one page of HTML: scores, graph, times, what is stale", configure, run)
