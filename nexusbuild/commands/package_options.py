"""Options of `nexusbuild` that an installed package brings: steps after a build that has passed.

The engine does not know what such a step does. It adds the options where they are used.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexusbuild.plugins import AfterBuild

OPTIONS = "nexusbuild.after_build"  # the entry-point group


def add_package_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Let packages add their options, where the words hold one that the engine does not know.

    To look for packages takes longer than to parse the words, so it is done only then.
    """
    if not {"-h", "--help"} & set(words) and not parser.parse_known_args(words)[1]:
        return
    for step in _steps():
        step.configure(parser)
    parser.set_defaults(package_options=True)


def chosen_steps(arguments: argparse.Namespace) -> list[AfterBuild]:
    """The packages' steps that the options ask for."""
    if not getattr(arguments, "package_options", False):
        return []
    return [step for step in _steps() if step.asked(arguments)]


def _steps() -> list[AfterBuild]:
    from importlib import metadata

    return [point.load() for point in sorted(metadata.entry_points(group=OPTIONS))]
