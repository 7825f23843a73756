"""nexusbuild doctor: the machine, the libraries, what of the project can run here, the store;
--verify-store reads all of it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import Any

from nexusbuild.command import Command, add_json, add_place
from nexusbuild.digest.host import host_kind, landlock_version, version
from nexusbuild.errors import FAILED, BuildError, CannotFit, ResolveError
from nexusbuild.process.resources import (
    Budget,
    machine_ram_bytes,
    machine_threads,
    machine_vram_bytes,
)
from nexusbuild.project import Place, Project, find_place
from nexusbuild.readable import display_path, pluralize, readable_size
from nexusbuild.show.streams import print_json, say
from nexusbuild.show.terminal import fit_lines
from nexusbuild.store.store import Store

LIBRARIES = (
    "doit",
    "rich",
    "PyYAML",
    "pydantic",
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "bitsandbytes",
)
SHOWN = 5  # targets that cannot run; a spec of hundreds may have as many
# What not everybody needs, and what for.
OPTIONAL = {"pyarrow": "parquet files", "lm-eval": "tasks of lm-evaluation-harness"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify-store",
        action="store_true",
        help="hash every file in the store; drop damaged ones",
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        place = find_place(arguments.file, arguments.store, arguments.resolver)
    except BuildError as error:
        if arguments.file is not None or arguments.verify_store:
            raise
        place, no_project = None, str(error)
    else:
        no_project = ""
    document: dict[str, Any] = {
        "host": dict(host_kind()),
        "ram_bytes": machine_ram_bytes(),
        "threads": machine_threads(),
        "vram_bytes": machine_vram_bytes(),
        "landlock": landlock_version(),
        "libraries": {name: version(name) for name in (*LIBRARIES, *OPTIONAL)},
        "problems": [],
    }
    if place is not None:
        document |= _state_of_the_store(place) | _what_can_run(place)
        if arguments.verify_store:
            document["problems"] += verify(place)
    if arguments.json:
        print_json(document)
    else:
        _show(document, no_project)
    return FAILED if document["problems"] else 0


def verify(place: Place) -> list[str]:
    """Every damaged or missing piece, named; damaged objects are dropped, to be made again."""
    from nexusbuild.show.streams import warn
    from nexusbuild.store.lock_file import builder_lock

    found = []
    with builder_lock(place.store, "nexusbuild doctor --verify-store", warn):
        store = Store(place.store)
        seen: dict[str, bool] = {}
        for key in store.record_keys():
            record = store.record(key)
            if record is None:
                store.drop_record(key)
                found.append(
                    f"the record {key[:16]} was damaged; dropped, its target is made again"
                )
                continue
            for output in record.outputs:
                if output.sha256 in seen:
                    continue
                present = store.object(output.sha256).exists()
                seen[output.sha256] = present and store.verified(output)
                if present and not seen[output.sha256]:
                    store.discard(output)
                    found.append(
                        f"{record.target}: {output.path} was damaged; dropped, "
                        "it is made again when needed"
                    )
    return found


def _state_of_the_store(place: Place) -> dict[str, Any]:
    folder = place.store if place.store.exists() else place.folder
    usage = shutil.disk_usage(folder)
    return {
        "spec": display_path(place.spec),
        "store": display_path(place.store),
        "store_bytes": Store(place.store).held_bytes(),
        "disk_free_bytes": usage.free,
    }


def _what_can_run(place: Place) -> dict[str, Any]:
    """Of the spec's targets, those that this machine has the memory and the GPU for."""
    try:
        graph = Project(place).graph
    except (BuildError, ResolveError) as error:
        return {"targets": None, "cannot_run": [], "spec_error": str(error)}
    budget = Budget(graph.ram_bytes, graph.vram_bytes)
    cannot = []
    for target in graph:
        why = target.obstacle
        if why is None:
            try:
                budget.check(target.needs, target.id)
            except CannotFit as error:
                why = error.what
        if why is not None:
            cannot.append({"id": target.id, "why": why})
    return {"targets": len(graph.targets), "cannot_run": cannot, "spec_error": None}


def _show(document: dict[str, Any], no_project: str) -> None:
    host = document["host"]
    say(f"machine    {host['processor']}, {host['system']} {host['machine']}")
    say(f"threads    {document['threads']}")
    say(f"memory     {readable_size(document['ram_bytes'])}")
    vram = document["vram_bytes"]
    say(f"GPU        {readable_size(vram) if vram else 'none found; everything runs on the CPU'}")
    landlock = document["landlock"]
    confined = f"Landlock {landlock}: programs can be confined"
    say(f"kernel     {confined if landlock else 'no Landlock to confine programs by'}")
    say(f"Python     {host['python']}")
    for name, found in document["libraries"].items():
        needed_for = f" (for {OPTIONAL[name]})" if name in OPTIONAL else ""
        say(f"           {name} {found or f'is not installed{needed_for}'}")
    if no_project:
        say(f"project    {no_project}")
    else:
        free = readable_size(document["disk_free_bytes"])
        say(f"project    {document['spec']}: {_can_run(document)}")
        for each in document["cannot_run"][:SHOWN]:
            say(fit_lines(f"           {each['id']}: {each['why']}", sys.stdout))
        if len(document["cannot_run"]) > SHOWN:
            say(f"           and {len(document['cannot_run']) - SHOWN} more; --json names them")
        say(
            f"store      {document['store']}: {readable_size(document['store_bytes'])}, {free} free"
        )
    for problem in document["problems"]:
        say(f"problem    {problem}")


def _can_run(document: dict[str, Any]) -> str:
    count, cannot = document["targets"], len(document["cannot_run"])
    if count is None:
        return "cannot be read; `nexusbuild check` says why"
    if not cannot:
        return f"{pluralize(count, 'target')}, all can run here"
    return f"{count - cannot} of {pluralize(count, 'target')} can run here, not:"


command = Command(
    "doctor", "The machine, the libraries, what can run here, the store.", configure, run
)
