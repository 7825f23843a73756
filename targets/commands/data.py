"""`nexusbuild data`: what there is to learn from, before anything is built."""

from __future__ import annotations

import argparse

from nexusbuild.plugins import Command
from targets.commands import data_show, data_sort

EXAMPLES = """\
examples:
  nexusbuild data sort raw --dry-run     what would go where, and why
  nexusbuild data sort raw               move it into datasets/<capability>/
  nexusbuild data sort --undo            put it back
  nexusbuild data show word_problems     rows as the build sees them
"""


PARTS = {part.NAME: part for part in (data_sort, data_show)}


def configure(parser: argparse.ArgumentParser) -> None:
    """What to do with the data."""
    parser.epilog = EXAMPLES
    parts = parser.add_subparsers(dest="part", required=True, metavar="sort|show")
    for part in PARTS.values():
        below = parts.add_parser(
            part.NAME,
            help=part.HELP,
            description=part.HELP,
            epilog=part.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        part.configure(below)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return int(PARTS[arguments.part].run(arguments))


command = Command("data", "sort raw data; show rows as the build sees them", configure, run)
