"""`nexusbuild import teachers FILE.csv`: a table of models becomes entries of nexus.yaml."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from nexusbuild.plugins import Command, add_file, say
from opened_models.model_folder import is_model, model_folder
from specs.document import parse_document
from specs.edit import append_capability, append_dataset, append_teacher
from specs.fill_in import FILL_IN
from specs.loading import shown_path
from specs.values import NO_ASSERTION
from targets.commands.command import DONE, count_phrase, in_words, refusal, spec_path
from targets.commands.known_capabilities import BY_NAME, told_capabilities
from targets.commands.named_model import NamedModel, named_model, place_among
from targets.commands.spec_file import as_written, edit_spec, left_to_fill_in, name_from
from targets.commands.teacher_table import (
    TableError,
    TeacherRow,
    parameter_count,
    read_teachers,
    written_count,
)

EXAMPLES = """\
The table has the columns ModelName, Parameters, Category and BestFeature, with
commas, semicolons or tabs between them. Every model is added once; what it
teaches is told from its category and best feature. What could not be told is
marked in nexus.yaml with `# FILL IN: ...`, and `nexusbuild check` names it
until it is written.

examples:
  nexusbuild import teachers models.csv
  nexusbuild import teachers models.csv --models /disk/models
"""
# Models from which no text comes, as people name them.
_NO_TEXT = re.compile(r"codec|autoencoder|encoder\b(?![ -]decoder)|embedding", re.IGNORECASE)


@dataclass
class _Import:
    """What becomes of a table: the text as it grows, and what there is to say of it."""

    text: str
    added: list[tuple[str, str, list[str]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)


def configure(parser: argparse.ArgumentParser) -> None:
    """Which table, into which spec."""
    parser.epilog = EXAMPLES
    parser.add_argument("what", choices=["teachers"], metavar="teachers")
    parser.add_argument("table", metavar="FILE.csv", help="the table")
    parser.add_argument(
        "--models",
        metavar="FOLDER",
        help="where the models lie or are to lie (default: models next to the spec)",
    )
    add_file(parser)


def run(arguments: argparse.Namespace) -> int:
    """Add every teacher of the table that the spec does not have yet."""
    path = spec_path(arguments)
    try:
        rows = read_teachers(Path(arguments.table))
    except (OSError, TableError) as error:
        raise refusal(in_words(error)) from None
    models = Path(arguments.models) if arguments.models else path.parent / "models"
    found = _Import("")

    def edit(text: str) -> str:
        found.text = text
        _add_all(found, rows, models, path)
        return found.text

    edit_spec(path, edit)
    _tell(found, path)
    return DONE


def _add_all(found: _Import, rows: Iterable[TeacherRow], models: Path, spec: Path) -> None:
    there = [(model, "is a teacher of the spec already") for model in _known_teachers(found.text)]
    for row in rows:
        if row.is_sum:
            found.skipped.append(f"line {row.line}: {row.name or 'a row without a name'}: no model")
            continue
        model = named_model(row.name)
        place = place_among(model, [one for one, _ in there])
        if place is None:
            there.append((model, f"stands on line {row.line} already"))
            _add(found, row, model, models, spec)
        else:
            one, why = there[place]
            there[place] = (one if one.owner else model, why)
            found.skipped.append(f"line {row.line}: {row.name} {why}")


def _known_teachers(text: str) -> list[NamedModel]:
    """The spec's teachers, by where they can be had, else by their folders, else by their ids."""
    known = []
    for teacher in _teachers(text):
        source = teacher.get("source")
        places = source if isinstance(source, dict) else {}
        origins = [places[key] for key in ("hub", "origin") if places.get(key)]
        if origins:
            known += [named_model(str(origin)) for origin in origins]
        else:
            known.append(NamedModel(Path(str(places.get("path") or teacher.get("id"))).name))
    return known


def _data(text: str) -> dict[str, Any]:
    """What a spec's text says, whether or not it may; nothing, where it is no mapping."""
    data = parse_document(text.removeprefix("\ufeff"), "").data
    return data if isinstance(data, dict) else {}


def _teachers(text: str) -> list[dict[str, Any]]:
    teachers = _data(text).get("teachers")
    return [each for each in teachers or [] if isinstance(each, dict)]


def _folder(text: str, model: NamedModel, models: Path, spec: Path) -> Path:
    """Where the table says, else among the models; with the owner where another has that name."""
    if model.folder is not None:
        return model.folder
    sources = [teacher.get("source") for teacher in _teachers(text)]
    used = {str(source.get("path")).casefold() for source in sources if isinstance(source, dict)}
    alone = models / model.name
    taken = as_written(alone, spec).casefold() in used
    return models / model.owner / model.name if taken else alone


def _add(found: _Import, row: TeacherRow, model: NamedModel, models: Path, spec: Path) -> None:
    """One teacher, after the capabilities that the spec does not have yet."""
    taught = told_capabilities(
        f"{row.category}. {row.best_feature}. {model.name}", _own_capabilities(found.text)
    )
    apart = [name for name in taught if _is_isolated(found.text, name)][:1]
    others, taught = (
        ([name for name in taught if name not in apart], apart) if apart else ([], taught)
    )
    for capability in taught:
        _declare(found, capability)
    folder = _folder(found.text, model, models, spec)
    here = model_folder(folder) if is_model(folder) else None
    told = parameter_count(row.parameters)
    parameters = told or parameter_count(re.sub(r"[-_]", " ", model.name))
    if parameters is None and here is not None:
        parameters = here.parameters
    source = {"path": as_written(folder, spec)}
    if model.origin:
        source["origin"] = model.origin
    licence = here.licence if here is not None else None
    teacher: dict[str, Any] = {"id": _free_id(found.text, model), "source": source}
    comments: dict[str, str] = {}
    teacher["licence"] = licence or NO_ASSERTION
    if licence is None:
        comments["licence"] = f"{FILL_IN} its licence, as SPDX names it"
    if parameters is not None:
        teacher["parameters"] = written_count(parameters)
    else:
        given = f' (the table says "{row.parameters}")' if row.parameters else ""
        comments["parameters"] = f"{FILL_IN} parameters: its size, as 8B{given}"
    if _NO_TEXT.search(f"{row.category} {row.best_feature}"):
        teacher["modality"] = "features"
    for key in ("category", "best_feature"):
        if getattr(row, key):
            teacher[key] = getattr(row, key)
    teacher["capabilities"] = taught
    if others:
        comments["capabilities"] = f"isolated, so it teaches nothing else (not {', '.join(others)})"
    if not taught:
        comments["capabilities"] = f"{FILL_IN} what it teaches, as [reasoning]"
    found.text = append_teacher(found.text, teacher, comments)
    found.added.append((teacher["id"], teacher.get("parameters", "?"), taught))


def _free_id(text: str, model: NamedModel) -> str:
    """The name as an id; with the owner, or a number behind it, where another teacher has that."""
    ids = {teacher.get("id") for teacher in _teachers(text)}
    wanted = [name_from(model.name)]
    if model.owner:
        wanted.append(f"{name_from(model.owner)}-{wanted[0]}")
    numbered = (f"{wanted[-1]}-{number}" for number in count(2))
    return next(each for each in chain(wanted, numbered) if each not in ids)


def _is_isolated(text: str, name: str) -> bool:
    """Whether the spec's capability is isolated, or would be."""
    declared = (_data(text).get("capabilities") or {}).get(name)
    if isinstance(declared, dict):
        return declared.get("isolated") is True
    return name in BY_NAME and BY_NAME[name].isolated


def _own_capabilities(text: str) -> list[str]:
    names = _data(text).get("capabilities")
    return list(names) if isinstance(names, dict) else []


def _declare(found: _Import, name: str) -> None:
    """A capability that Nexus knows, with a data set where `data sort` would put it."""
    data = _data(found.text)
    if name in (data.get("capabilities") or {}):
        return
    known = BY_NAME[name]
    if name not in (data.get("datasets") or {}):
        dataset = {"path": f"datasets/{name}", "licence": NO_ASSERTION}
        comments = {"licence": f"{FILL_IN} the licence of the data"}
        found.text = append_dataset(found.text, name, dataset, comments)
    capability: dict[str, Any] = {"dataset": name, "metric": known.metric}
    if known.modality != "text":
        capability["modality"] = known.modality
    if known.isolated:
        capability["isolated"] = True
    found.text = append_capability(found.text, name, capability)
    found.capabilities.append(name)


def _tell(found: _Import, path: Path) -> None:
    added = f"added {count_phrase(len(found.added), 'teacher')}"
    if found.capabilities:
        number = count_phrase(len(found.capabilities), "capability", "capabilities")
        added += f" and {number}: {', '.join(found.capabilities)}"
    say(f"{added}; in {shown_path(path)}")
    width = max((len(name) for name, _, _ in found.added), default=0)
    for name, parameters, taught in found.added:
        learned = ", ".join(taught) or "nothing that could be told"
        say(f"  {name:<{width}}  {parameters:>6}  {learned}")
    for line in found.skipped:
        say(f"  passed over: {line}")
    left = left_to_fill_in(found.text, path)
    if left:
        say(f"{count_phrase(len(left), 'thing')} left to fill in; `nexusbuild check` names each:")
        say(f"  the first: {left[0].file}:{left[0].line}: {left[0].message}")


command = Command("import", "a table of models becomes entries of nexus.yaml", configure, run)
