"""`nexusbuild schema`: the JSON Schema of nexus.yaml."""

from __future__ import annotations

import argparse
import sys

from nexusbuild.plugins import Command
from specs.schema import json_schema_text
from targets.commands.command import DONE

EXAMPLES = """\
examples:
  nexusbuild schema > nexus.schema.json

and as the first line of nexus.yaml, for editors:
  # yaml-language-server: $schema=./nexus.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no arguments."""
    parser.epilog = EXAMPLES


def run(arguments: argparse.Namespace) -> int:
    """Write the schema to standard output."""
    sys.stdout.write(json_schema_text())
    return DONE


command = Command("schema", "print the JSON Schema of nexus.yaml", configure, run)
