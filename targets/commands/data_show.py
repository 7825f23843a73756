"""`nexusbuild data show`: the rows of a data set as the build sees them, before any build."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import specs
from nexusbuild.plugins import SpecFolder, add_file, add_json, positive, print_json, say, seed_of
from specs.loading import shown_path
from specs.problems import known_names, suggestion
from targets.commands.command import DONE, count_phrase, in_words, opened_spec, refusal, width
from targets.commands.excerpt import labelled_lines
from targets.commands.named_modules import named_sampler
from targets.dataset.target import declare

NAME = "show"
HELP = "show rows of a data set as the build sees them, and what was dropped and why"
EXAMPLES = """\
Reads the data set NAME of nexus.yaml as a build would: keys taken, rows cleaned
and split, the template put around the prompt. Nothing is built. Of large files
only the beginning is read, unless --all is said.

examples:
  nexusbuild data show gsm8k                 one row of each split
  nexusbuild data show gsm8k --split eval --rows 5
  nexusbuild data show gsm8k --all           read all of a large file
  nexusbuild data show gsm8k --json          for a program
"""
SPLITS = ("train", "pilot", "validation", "eval")
LARGE_BYTES = 32 << 20
FIRST_RECORDS = 20_000
SHOWN_LINES = 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Which data set, and what of it."""
    parser.add_argument("name", metavar="NAME", help="a data set of the spec")
    parser.add_argument("--split", choices=SPLITS, help="rows of this split (default: of each)")
    parser.add_argument(
        "--rows", type=positive, default=1, metavar="N", help="of a split (default: 1)"
    )
    parser.add_argument("--all", action="store_true", help="read large files to their end")
    add_file(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the data set in memory and show it."""
    path, spec = opened_spec(arguments)
    name: str = arguments.name
    if name not in spec.datasets:
        allowed = f"{known_names(spec.datasets)}{suggestion(name, spec.datasets)}"
        raise refusal(f'no such data set: "{name}"', f"allowed: {allowed}")
    try:
        document = _document(arguments, spec, path.parent, name)
    except (ValueError, OSError) as error:
        raise refusal(in_words(error)) from None
    if arguments.json:
        print_json(document)
    else:
        for line in _lines(document):
            say(line)
    return DONE


def _document(
    arguments: argparse.Namespace, spec: specs.Spec, root: Path, name: str
) -> dict[str, Any]:
    # Imported here: `--help` of the command needs nothing of the work.
    from importlib import import_module
    from tempfile import TemporaryDirectory

    from modalities.parts import MediaParts
    from targets.dataset.files import made_of_files
    from targets.dataset.sampled import made_of_samples
    from targets.dataset.settings import Settings
    from targets.dataset.writing import row_json

    target = declare(spec, SpecFolder(root), name)
    settings = Settings.from_json(target.settings)
    seed = seed_of(spec.seed, target.id)
    most = None
    if settings.sample is not None:
        draw = named_sampler(settings.sample)
        made = made_of_samples(target.id, settings, draw, seed, _quiet)
    else:
        paths = [root / source.path for source in target.sources.values()]
        missing = [
            source for source in target.sources.values() if not (root / source.path).exists()
        ]
        if missing:
            place = shown_path(root / missing[0].path)
            raise ValueError(f"{place} is missing; {' '.join(missing[0].remedy_at(place).split())}")
        if not arguments.all and sum(map(_bytes, paths)) > LARGE_BYTES:
            most = FIRST_RECORDS + 2 * (settings.eval + settings.validation + settings.pilot)
        with TemporaryDirectory() as payloads:
            modules = {
                role.partition("/")[2]: import_module(module)
                for role, module in target.code.items()
                if role.startswith("rows/")
            }
            media = MediaParts(modules, target.settings, Path(payloads))
            made = made_of_files(target.id, settings, paths, seed, _quiet, media, most=most)
    splits = made.splits.named()
    return {
        "name": name,
        "origin": made.origin,
        "licence": settings.licence,
        "template": settings.template,
        "stop": list(settings.stop),
        "first_records_only": most,
        "rows": {split: len(rows) for split, rows in splits.items()},
        "dropped": made.dropped.to_json(),
        "near_duplicates": made.near_json(settings),
        "examples": {
            split: [
                {**row_json(row, split), "seen": settings.template.replace("{prompt}", row.prompt)}
                for row in splits[split][: arguments.rows]
            ]
            for split in ([arguments.split] if arguments.split else SPLITS)
        },
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    rows = document["rows"]
    what = (
        f"{document['name']}: {count_phrase(sum(rows.values()), 'row')} {_from(document['origin'])}"
    )
    yield from textwrap.wrap(what, width(), subsequent_indent="  ", break_on_hyphens=False)
    yield "  " + ", ".join(f"{split} {count:,}" for split, count in rows.items())
    if document["first_records_only"]:
        records = count_phrase(document["first_records_only"], "record")
        yield f"  (of the first {records}; --all reads the rest)"
    if document["licence"]:
        yield f"  licence {document['licence']}"
    yield from _dropped_lines(document["dropped"])
    yield from _near(document["near_duplicates"])
    for split, shown in document["examples"].items():
        for number, row in enumerate(shown, start=1):
            yield ""
            yield f"-- {split}, {number} of {rows[split]:,} ".ljust(width(), "-")
            yield from _labelled_lines("prompt", row["seen"])
            yield from _labelled_lines(
                "answer", row["answer"] or "(none: the teacher gives its own)"
            )
            for test in row.get("tests", []):
                yield from _labelled_lines("test", test)


def _from(origin: dict[str, Any]) -> str:
    if "sample" in origin:
        return f"by the sampler {origin['sample']}"
    files = origin["files"]
    names = ", ".join(f"{file['name']} ({file['rows']:,})" for file in files[:3])
    more = f" and {len(files) - 3:,} more files" if len(files) > 3 else ""
    return f"from {names}{more}" if names else "from the beginning of its files"


def _dropped_lines(dropped: list[dict[str, Any]]) -> Iterator[str]:
    yield f"dropped: {count_phrase(sum(one['count'] for one in dropped), 'row')}"
    for one in dropped:
        yield from _fill(f"{one['count']:,} {one['why']}: {'; '.join(one['examples'])}")


def _near(near: dict[str, Any]) -> Iterator[str]:
    rows = count_phrase(near["rows"], "training row")
    gone = f", {near['dropped']:,} of them dropped" if near["dropped"] else ""
    yield f"near-duplicates: {rows} at least {near['similarity']:.0%} like one of eval{gone}"
    for one in near["examples"][:2]:
        yield from _fill(f"{one['similarity']:.0%}: {one['train']!r} is like {one['eval']!r}")


def _fill(text: str) -> list[str]:
    return textwrap.wrap(
        text, width(), initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
    )


def _labelled_lines(label: str, text: str) -> Iterator[str]:
    return labelled_lines(label, text, indent=9, columns=width(), most=SHOWN_LINES)


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _quiet(done: int, of: int) -> None:
    """Nobody watches: it takes a second."""
