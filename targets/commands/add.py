"""`nexusbuild add`: append a teacher or a capability to nexus.yaml, leaving the rest untouched."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from nexusbuild.plugins import Command, add_file, say
from opened_models.model_folder import is_model, model_folder
from specs.edit import append_capability, append_dataset, append_teacher
from specs.loading import shown_path
from specs.names import metrics, samplers
from specs.values import Modality, Precision
from targets.commands.command import DONE, note, spec_path
from targets.commands.spec_file import as_written, edit_spec, name_from
from targets.declaring.sources import HUB_NAME

_TEACHER = """\
  nexusbuild add teacher models/Qwen3-8B --capabilities reasoning code
  nexusbuild add teacher models/big --id giant --licence MIT --load nf4 \\
      --capabilities code
  nexusbuild add teacher Qwen/Qwen3-8B --revision 9c925d64 --parameters 8B \\
      --licence Apache-2.0 --capabilities reasoning
"""
_CAPABILITY = """\
  nexusbuild add capability poems --path data/poems.jsonl --licence CC0-1.0 \\
      --metric rouge_l
  nexusbuild add capability sums --sample word_problems --rows 9000 \\
      --metric final_answer
  nexusbuild add capability asr --path datasets/asr --licence CC-BY-4.0 \\
      --metric word_error_rate --modality speech-to-text
"""
TEACHER_EXAMPLES = f"""\
The licence that the folder states is written, too, unless you say another.

examples:
{_TEACHER}"""
CAPABILITY_EXAMPLES = f"examples:\n{_CAPABILITY}"
EXAMPLES = f"""\
The file keeps its comments, its order and its layout; what would be wrong is
not written.

examples:
{_TEACHER}{_CAPABILITY}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """What to add, and what is to be said of it."""
    parser.epilog = EXAMPLES
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="teacher|capability")
    for name, help_text, examples, configured in (
        ("teacher", "a model to learn from", TEACHER_EXAMPLES, _configure_teacher),
        ("capability", "something to be learned", CAPABILITY_EXAMPLES, _configure_capability),
    ):
        configured(
            kinds.add_parser(
                name,
                help=help_text,
                epilog=examples,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )


def _configure_teacher(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="PATH", help="the model's folder, or OWNER/MODEL with --revision"
    )
    parser.add_argument("--id", help="its name (default: from the folder's)")
    parser.add_argument(
        "--capabilities", nargs="+", required=True, metavar="NAME", help="what it teaches"
    )
    parser.add_argument("--licence", help="SPDX name (default: what the folder states)")
    parser.add_argument("--load", choices=get_args(Precision), help="precision (default: fp32)")
    parser.add_argument("--revision", metavar="COMMIT", help="of a model of the hub")
    parser.add_argument(
        "--parameters", metavar="SIZE", help="its size, as 8B (needed for a model of the hub)"
    )
    add_file(parser)


def _configure_capability(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--metric", required=True, choices=tuple(metrics().modules), metavar="METRIC",
        help=f"how an answer is scored: {', '.join(metrics().modules)}",
    )  # fmt: skip
    parser.add_argument(
        "--modality", choices=get_args(Modality), metavar="MODALITY",
        help=f"what is read and written (default: text): {', '.join(get_args(Modality))}",
    )  # fmt: skip
    parser.add_argument("--dataset", help="its data set (default: one of the capability's name)")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--path", help="declare the data set too: a file, folder or glob")
    data.add_argument(
        "--sample", choices=tuple(samplers().modules), metavar="SAMPLER",
        help=f"or a sampler, with --rows: {', '.join(samplers().modules)}",
    )  # fmt: skip
    parser.add_argument("--rows", type=int, help="rows of the data set")
    parser.add_argument("--licence", help="SPDX name, of the data set")
    parser.add_argument("--isolated", action="store_true", help="keep it apart from all others")
    add_file(parser)


def run(arguments: argparse.Namespace) -> int:
    """Edit the spec; where the result would be wrong, say why and leave it."""
    path = spec_path(arguments)
    done = ""

    def edit(text: str) -> str:
        nonlocal done
        if arguments.kind == "teacher":
            text, done = _with_teacher(text, path, arguments)
        else:
            text, done = _with_capability(text, arguments)
        return text

    edit_spec(path, edit)
    say(f"{done} to {shown_path(path)}; nexusbuild --dry-run shows what that means")
    if arguments.kind == "teacher":
        note(_still_to_do(arguments))
    return DONE


def _still_to_do(arguments: argparse.Namespace) -> Iterator[str]:
    """What a path that leads nowhere may mean."""
    if arguments.revision is None and not Path(arguments.source).exists():
        or_hub = ""
        if HUB_NAME.fullmatch(arguments.source):
            or_hub = "; if a model of the hub is meant, say its --revision COMMIT"
        yield f"{arguments.source} is not there yet: put the model's folder there{or_hub}"


def _with_teacher(text: str, spec: Path, arguments: argparse.Namespace) -> tuple[str, str]:
    names = [name for given in arguments.capabilities for name in given.split(",") if name]
    identity = arguments.id or name_from(arguments.source)
    teacher: dict[str, Any] = {"id": identity, "source": _source(spec, arguments)}
    folder = Path(arguments.source)
    if arguments.revision is None and is_model(folder):
        here = model_folder(folder)
        arguments.licence = arguments.licence or here.licence
    for key in ("licence", "load", "parameters"):
        if getattr(arguments, key) is not None:
            teacher[key] = getattr(arguments, key)
    teacher["capabilities"] = names
    return append_teacher(text, teacher), f"added the teacher {identity}"


def _source(spec: Path, arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.revision is not None:
        return {"hub": arguments.source, "revision": arguments.revision}
    return {"path": as_written(Path(arguments.source), spec)}


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
    if arguments.modality not in (None, "text"):
        capability["modality"] = arguments.modality
    if arguments.isolated:
        capability["isolated"] = True
    return append_capability(text, arguments.name, capability), done


command = Command("add", "append a teacher or a capability to nexus.yaml", configure, run)
