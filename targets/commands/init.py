"""`nexusbuild init`: a commented nexus.yaml for what is found on this disk."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import specs
from nexusbuild.plugins import Command, Problem, ResolveError, say
from specs.loading import shown_path
from targets.budget.devices import GIGABYTE
from targets.commands.check import beyond_hardware, missing_sources
from targets.commands.choices import about_model, chosen_spec
from targets.commands.command import DONE, SPEC_NAME, count_phrase, refusal
from targets.commands.found_on_disk import (
    FoundData,
    FoundModel,
    Machine,
    found_data,
    found_models,
    machine,
)
from targets.commands.questions import Questions
from targets.commands.whole_file import write_new
from targets.resolver import graph_of
from targets.resolver.problems import as_resolve_error

EXAMPLES = """\
Looks for models (folders with config.json and safetensors) and for data (JSON
lines, JSON, CSV, parquet) below FOLDER, looks at the machine, asks about what
it found, and writes FOLDER/nexus.yaml with comments. It never overwrites one.
Where there is no model, the build trains a small teacher itself; where there is
no data, a sampler of the project makes some: so that the file always builds.

examples:
  nexusbuild init                          asks
  nexusbuild init --yes                    takes what it finds, asks nothing
  nexusbuild init ~/omni --models /disk/models --data ~/datasets --name omni
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Where to look, where to write, whether to ask."""
    parser.epilog = EXAMPLES
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: here")
    parser.add_argument("--name", help="of what is built (default: the folder's)")
    parser.add_argument(
        "--models", action="append", metavar="DIR", help="look for models here (again for more)"
    )
    parser.add_argument(
        "--data", action="append", metavar="DIR", help="look for data here (again for more)"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing, take what is found")


def run(arguments: argparse.Namespace) -> int:
    """Look, ask, write."""
    folder = Path(arguments.folder)
    path = folder / SPEC_NAME
    if path.exists() or path.is_symlink():
        there = f"{shown_path(path)} is there already and stays as it is"
        raise refusal(there, "`nexusbuild add` and `nexusbuild import` add to it")
    roots = [Path(each) for each in (arguments.models or [])]
    places = [Path(each) for each in (arguments.data or [])]
    absent = [each for each in (*roots, *places) if not each.is_dir()]
    if absent:
        raise refusal("\n".join(f"{each} is not a folder" for each in absent))
    made = False
    asking = not arguments.yes and sys.stdin.isatty()
    try:
        # Made before anything is looked for: what the spec names is named from there.
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        models = [one for root in roots or [folder] for one in found_models(root)]
        data = [
            one
            for place in places or [folder]
            for one in found_data(place, [model.folder.path for model in models])
        ]
        room = machine(folder)
        _tell(models, data, room)
        new = chosen_spec(arguments.name, path, models, data, room, Questions(asking))
        _refuse_what_is_wrong(new.text, path)
        write_new(path, new.text.encode("utf-8"))
    except EOFError:
        say("")  # the question's line
        raise refusal("the answers ended early: nothing was written") from None
    except FileExistsError:
        message = f"{shown_path(path)} has just been written by somebody else, and stays"
        raise refusal(message) from None
    except OSError as error:
        raise refusal(f"{error.filename or path}: {error.strerror}") from None
    finally:
        if made and not path.exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
    say(f"wrote {shown_path(path)}: {count_phrase(len(new.teachers), 'teacher')}, "
        f"{count_phrase(len(new.capabilities), 'capability', 'capabilities')}")  # fmt: skip
    say("next: nexusbuild check --budget, then nexusbuild --dry-run")
    return DONE


def _tell(models: list[FoundModel], data: list[FoundData], room: Machine) -> None:
    gpu = f"a GPU with {room.vram // GIGABYTE}GB" if room.vram else "no GPU"
    say(f"this machine: {room.ram // GIGABYTE}GB of memory, {gpu}, "
        f"{room.disk // GIGABYTE}GB free on the disk")  # fmt: skip
    for model in models:
        say(f"  model  {shown_path(model.folder.path)}: {about_model(model)}")
    for each in data:
        rows = (
            count_phrase(each.rows, "row") if each.rows is not None else "rows that are not counted"
        )
        why_not = f"; left out: {each.why_not}" if each.why_not else ""
        say(f"  data   {shown_path(each.path)}: {rows}, {each.reason}{why_not}")
    if not models:
        say("  no model: the build will train a small teacher itself")
    if all(each.why_not for each in data):
        say("  no data with a prompt and an answer: a sampler will make some")


def _refuse_what_is_wrong(text: str, path: Path) -> None:
    """Raise ResolveError with everything that `nexusbuild check` would say of the text."""
    found: list[Problem] = []
    try:
        spec = specs.load_text(text, shown_path(path))
        graph = graph_of(spec, path, {})
        missing, _ = missing_sources(graph, path, None)
        found += [*missing, *beyond_hardware(spec, path)]
    except specs.SpecError as error:
        found += as_resolve_error(error).problems
    except ResolveError as error:
        found += error.problems
    if found:
        raise ResolveError([Problem("what would be written does not pass the check:"), *found])


command = Command("init", "a commented nexus.yaml for what is found on this disk", configure, run)
