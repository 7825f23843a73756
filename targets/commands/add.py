"""`nexusbuild add`: append a teacher or a capability to nexus.yaml, leaving the rest untouched."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import specs
from specs.edit import EditError, append_capability, append_dataset, append_teacher
from specs.loading import shown_path
from specs.model import Metric, Precision, Sampler
from targets.commands.command import (
    DONE,
    WRONG,
    Command,
    add_file_argument,
    complain,
    say,
    spec_path,
)

EXAMPLES = """\
examples:
  nexusbuild add teacher models/Qwen3-8B --capabilities reasoning code --licence Apache-2.0
  nexusbuild add teacher Qwen/Qwen3-8B --revision 9c925d64 --parameters 8B --capabilities reasoning
  nexusbuild add capability poems --path data/poems.jsonl --licence CC0-1.0 --metric rouge_l
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """What to add, and what is to be said of it."""
    parser.epilog = EXAMPLES
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="teacher|capability")
    _configure_teacher(kinds.add_parser("teacher", help="a model to learn from"))
    _configure_capability(kinds.add_parser("capability", help="something to be learned"))


def _configure_teacher(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="PATH", help="the model's folder, or OWNER/MODEL with --revision"
    )
    parser.add_argument("--id", help="its name (default: from the folder's)")
    parser.add_argument(
        "--capabilities", nargs="+", required=True, metavar="NAME", help="what it teaches"
    )
    parser.add_argument("--licence", help="SPDX name")
    parser.add_argument("--load", choices=get_args(Precision), help="precision (default: fp32)")
    parser.add_argument("--revision", metavar="COMMIT", help="of a model of the hub")
    parser.add_argument(
        "--parameters", metavar="SIZE", help="its size, as 8B (needed for a model of the hub)"
    )
    add_file_argument(parser)


def _configure_capability(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--metric", required=True, choices=get_args(Metric), metavar="METRIC")
    parser.add_argument("--dataset", help="its data set (default: one of the capability's name)")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--path", help="declare the data set too: a file, folder or glob")
    data.add_argument("--sample", choices=get_args(Sampler), help="or a sampler, with --rows")
    parser.add_argument("--rows", type=int, help="rows of the data set")
    parser.add_argument("--licence", help="SPDX name, of the data set")
    parser.add_argument("--isolated", action="store_true", help="keep it apart from all others")
    add_file_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Edit the spec; where the result would be wrong, say why and leave it."""
    path = spec_path(arguments)
    if path is None:
        return WRONG
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        edited, done = (
            _with_teacher(text, path, arguments)
            if arguments.kind == "teacher"
            else _with_capability(text, arguments)
        )
        specs.load_text(edited.removeprefix("\ufeff"), shown_path(path))
        _replace(path, edited.encode("utf-8"))
    except (OSError, UnicodeDecodeError, EditError) as error:
        complain([f"{shown_path(path)}: {error}"])
        return WRONG
    except specs.SpecError as error:
        complain([*error.problems, f"{shown_path(path)} was left as it is"])
        return WRONG
    say(f"{done} to {shown_path(path)}; nexusbuild --dry-run shows what that means")
    return DONE


def _with_teacher(text: str, spec: Path, arguments: argparse.Namespace) -> tuple[str, str]:
    names = [name for given in arguments.capabilities for name in given.split(",") if name]
    identity = arguments.id or _name_from(arguments.source)
    teacher: dict[str, Any] = {"id": identity, "source": _source(spec, arguments)}
    for key in ("licence", "load", "parameters"):
        if getattr(arguments, key) is not None:
            teacher[key] = getattr(arguments, key)
    teacher["capabilities"] = names
    return append_teacher(text, teacher), f"added the teacher {identity}"


def _source(spec: Path, arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.revision is not None:
        return {"hub": arguments.source, "revision": arguments.revision}
    given = Path(arguments.source)
    folder = spec.parent.resolve()
    # Not resolved: `models` may be a link, and is what the person wrote.
    absolute = Path(os.path.abspath(given))  # noqa: PTH100
    if not given.is_absolute() or folder in absolute.parents:
        return {"path": Path(os.path.relpath(absolute, folder)).as_posix()}
    return {"path": absolute.as_posix()}


def _name_from(source: str) -> str:
    """`models/Qwen3-8B/` -> `qwen3-8b`."""
    last = Path(source.rstrip("/")).name.lower()
    return re.sub(r"[^a-z0-9_.-]+", "-", last).strip("-._") or "teacher"


def _with_capability(text: str, arguments: argparse.Namespace) -> tuple[str, str]:
    dataset = arguments.dataset or arguments.name
    done = f"added the capability {arguments.name}"
    if arguments.path or arguments.sample:
        given = {
            key: getattr(arguments, key)
            for key in ("sample", "path", "rows", "licence")
            if getattr(arguments, key) is not None
        }
        text = append_dataset(text, dataset, given)
        done += f" and its data set {dataset}"
    capability: dict[str, Any] = {"dataset": dataset, "metric": arguments.metric}
    if arguments.isolated:
        capability["isolated"] = True
    return append_capability(text, arguments.name, capability), done


def _replace(path: Path, content: bytes) -> None:
    """Write it whole or not at all; a link stays a link."""
    real = path.resolve()
    temporary = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        shutil.copymode(real, temporary)
        temporary.replace(real)
    finally:
        temporary.unlink(missing_ok=True)


command = Command("add", "append a teacher or a capability to nexus.yaml", configure, run)
