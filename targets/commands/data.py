"""`nexusbuild data`: what there is to learn from, before anything is built."""

from __future__ import annotations

import argparse

from targets.commands import data_show, data_sort
from targets.commands.command import Command

EXAMPLES = """\
examples:
  nexusbuild data sort raw --dry-run     what would go where, and why
  nexusbuild data sort raw               move it into datasets/<capability>/
  nexusbuild data sort --undo            put it back
  nexusbuild data show word_problems     rows as the build sees them
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """What to do with the data."""
    parser.epilog = EXAMPLES
    parts = parser.add_subparsers(dest="part", required=True, metavar="sort|show")
    for part in (data_sort, data_show):
        below = parts.add_parser(
            part.NAME,
            help=part.HELP,
            description=part.HELP,
            epilog=part.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        part.configure(below)
        below.set_defaults(run_part=part.run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return int(arguments.run_part(arguments))


command = Command("data", "sort raw data; show rows as the build sees them", configure, run)
