"""`nexusbuild init`: a commented nexus.yaml for what is found on this disk."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from pathlib import Path
from typing import Any

import specs
from nexusbuild.graph import Problem, ResolveError
from specs.loading import shown_path
from specs.model import Hardware
from targets.commands.check import beyond_hardware, missing_sources
from targets.commands.command import DONE, SPEC_NAME, Command, counted, refusal, say
from targets.commands.found_on_disk import (
    FoundData,
    FoundModel,
    Machine,
    found_data,
    found_models,
    machine,
    splits,
)
from targets.commands.known_capabilities import BY_NAME
from targets.commands.new_spec import Entry, NewSpec
from targets.commands.questions import Questions
from targets.commands.spec_file import as_written, name_from
from targets.commands.teacher_table import written_count
from targets.commands.whole_file import write_new
from targets.estimates import GIGABYTE, SMALL_MODEL_PARAMETERS, granted_ram, opened_needs
from targets.problems import as_resolve_error
from targets.resolver import graph_of

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
TRAINED = {
    "family": "llama", "hidden": 160, "layers": 3, "heads": 5, "intermediate": 384, "steps": 700,
    "tokenizer": {"kind": "bpe", "vocab": 768},
}  # fmt: skip
SAMPLE = {"sample": "word_problems", "rows": 9000, "licence": "MIT"}
STUDENT = {
    "tokenizer": {"kind": "bpe", "vocab": 1024},
    "backbone": {
        "init": "scratch", "hidden": 128, "layers": 4, "heads": 4, "intermediate": 384,
        "batch": 16,
    },
    "training": {"rank": 64, "steps": 700, "batch": 16},
}  # fmt: skip
LARGER_STUDENT = {
    "tokenizer": {"kind": "bpe", "vocab": 8192},
    "backbone": {
        "init": "scratch", "hidden": 256, "layers": 8, "heads": 8, "intermediate": 768, "batch": 8,
    },
    "training": {"rank": 64, "steps": 2000, "batch": 8},
}  # fmt: skip
GUESS = "what it teaches is a guess: leave what it cannot do"


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
        raise refusal("\n".join(f"{each} is no folder" for each in absent))
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
        new = _chosen(arguments, path, models, data, room, Questions(asking))
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
    say(f"wrote {shown_path(path)}: {counted(len(new.teachers), 'teacher')}, "
        f"{counted(len(new.capabilities), 'capability', 'capabilities')}")  # fmt: skip
    say("next: nexusbuild check --budget, then nexusbuild --dry-run")
    return DONE


def _tell(models: list[FoundModel], data: list[FoundData], room: Machine) -> None:
    gpu = f"a GPU with {room.vram // GIGABYTE}GB" if room.vram else "no GPU"
    say(f"this machine: {room.ram // GIGABYTE}GB of memory, {gpu}, "
        f"{room.disk // GIGABYTE}GB free on the disk")  # fmt: skip
    for model in models:
        say(f"  model  {shown_path(model.folder.path)}: {_about(model)}")
    for each in data:
        rows = counted(each.rows, "row") if each.rows is not None else "rows that are not counted"
        why_not = f"; left out: {each.why_not}" if each.why_not else ""
        say(f"  data   {shown_path(each.path)}: {rows}, {each.reason}{why_not}")
    if not models:
        say("  no model: the build will train a small teacher itself")
    if all(each.why_not for each in data):
        say("  no data with a prompt and an answer: a sampler will make some")


def _about(model: FoundModel) -> str:
    folder = model.folder
    size = written_count(folder.parameters) if folder.parameters else "of unknown size"
    return f"{folder.architecture}, {size}, {folder.licence or 'no licence stated'}"


def _chosen(
    arguments: argparse.Namespace,
    path: Path,
    models: list[FoundModel],
    data: list[FoundData],
    room: Machine,
    questions: Questions,
) -> NewSpec:
    """What the spec is to say, by what was found and what is answered."""
    usual = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.parent.resolve().name).strip("_.-") or "nexus"
    name = arguments.name or questions.name("Name of what is built", usual)
    hardware = _hardware(room)
    datasets: dict[str, Entry] = {}
    capabilities: dict[str, Entry] = {}
    licences: list[str] = []
    data_left_out: list[tuple[str, str]] = []
    for each in data:
        written = as_written(each.path, path)
        if each.why_not:
            data_left_out.append((written, each.why_not))
            continue
        learned = questions.names(f"{shown_path(each.path)} teaches", [each.capability])[:1]
        if not learned or learned[0] in capabilities:
            taken = f"{learned[0]} is learned from another file" if learned else "as you said"
            data_left_out.append((written, taken))
            continue
        licence = questions.licence("its licence", each.licence)
        licences.append(licence)
        fields = {"path": written, **each.fields, **splits(each.rows)}
        datasets[learned[0]] = Entry({**fields, "licence": licence}, each.reason)
        capabilities[learned[0]] = _capability(learned[0], bool(each.fields.get("tests")))
    if not capabilities:
        datasets["word_problems"] = Entry(SAMPLE, "made by a sampler; put your own rows beside it")
        capabilities["reasoning"] = Entry({"dataset": "word_problems", "metric": "final_answer"})
        licences.append("MIT")
    teachers, left_out = _teachers(path, models, list(capabilities), hardware, licences, questions)
    small = all(
        (model.folder.parameters or SMALL_MODEL_PARAMETERS) < SMALL_MODEL_PARAMETERS
        for model in models
    )
    taught = {one for teacher in teachers for one in teacher.fields["capabilities"]}
    for capability in capabilities:
        if capability not in taught:
            source = {"train": TRAINED}
            fields = {"id": f"{capability}-teacher", "source": source, "licence": "MIT"}
            comment = "made by the build; a model folder of your own would teach more"
            teachers.append(Entry({**fields, "capabilities": [capability]}, comment))
            licences.append("MIT")
    return NewSpec(
        name=name,
        hardware={key: _written(value) for key, value in hardware.items()},
        datasets=datasets,
        teachers=tuple(teachers),
        capabilities=capabilities,
        licences=tuple(dict.fromkeys(licences)),
        student=STUDENT if small else LARGER_STUDENT,
        left_out=tuple(left_out),
        data_left_out=tuple(data_left_out),
    )


def _teachers(
    path: Path,
    models: list[FoundModel],
    capabilities: list[str],
    hardware: dict[str, Any],
    licences: list[str],
    questions: Questions,
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Entries of models that can teach, and (what, why) for the others."""
    entries, left_out, ids = [], [], set()
    for model in models:
        folder = model.folder
        written = as_written(folder.path, path)
        load = _fitting_load(hardware, folder.parameters)
        if model.no_text:
            left_out.append((written, f"no text comes from a {folder.architecture}"))
            continue
        if load is None:
            left_out.append((written, "too large for this machine in any format"))
            continue
        own = [each for each in model.capabilities if each in capabilities]
        taught = questions.names(f"{written} teaches", own or capabilities, capabilities)
        identity = name_from(written)
        while identity in ids:
            identity += "-2"
        if not taught:
            left_out.append((written, "as you said"))
            continue
        ids.add(identity)
        licence = questions.licence("its licence", folder.licence)
        licences.append(licence)
        fields = {"id": identity, "source": {"path": written}, "licence": licence, "load": load}
        comment = _about(model) + ("" if own or questions.asking else f"; {GUESS}")
        entries.append(Entry({**fields, "capabilities": taught}, comment))
    return entries, left_out


def _capability(name: str, tests: bool) -> Entry:
    known = BY_NAME.get(name)
    metric = known.metric if known is not None else "rouge_l"
    if metric == "unit_tests" and not tests:
        metric = "rouge_l"
    fields: dict[str, Any] = {"dataset": name, "metric": metric}
    if known is not None and known.isolated:
        fields["isolated"] = True
    return Entry(fields)


def _hardware(room: Machine) -> dict[str, Any]:
    """As the spec says it, with bytes for sizes."""
    said: dict[str, Any] = {"device": "auto"}
    if room.vram:
        said["vram"] = room.vram
    said["ram"] = max(GIGABYTE, room.ram // GIGABYTE * GIGABYTE)
    said["disk"] = max(GIGABYTE, room.disk // 2 // GIGABYTE * GIGABYTE)
    return said


def _written(value: Any) -> Any:
    return f"{value // GIGABYTE}GB" if isinstance(value, int) else value


def _fitting_load(hardware: dict[str, Any], parameters: int | None) -> str | None:
    """The most exact format in which a model of this size fits; None where none does."""
    said = Hardware.model_validate({key: _written(value) for key, value in hardware.items()})
    loads = ["fp32", "bf16", "int8", "nf4"]
    if parameters is not None and parameters >= 20 * SMALL_MODEL_PARAMETERS:
        loads.remove("fp32")  # large models are published in bf16
    for load in loads:
        needs = opened_needs(said, parameters, load)
        if needs.gpu and said.vram is None:
            said = said.model_copy(update={"device": "cpu"})
            needs = opened_needs(said, parameters, load)
        fits_gpu = said.vram is None or needs.vram_bytes <= said.vram
        if fits_gpu and needs.ram_bytes <= granted_ram(said):
            return load
    return None


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
