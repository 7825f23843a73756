"""Options of `nexusbuild` that an installed package brings: steps after a build that has passed.

The engine knows nothing of what such a step is about. It adds the options where they are used, and
hands the step what it may know and do (`nexusbuild.after_build`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nexusbuild.after_build import Built

OPTIONS = "nexusbuild.after_build"  # the entry-point group
_STEPS = "after_build"


class AfterBuild(Protocol):
    """A step of a package. configure: its options. asked: whether they ask for it.

    prepare: before the build, raises ResolveError where it could not be done. run: afterwards, with
    the results still locked; returns what it did, as JSON.
    """

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def asked(self, arguments: argparse.Namespace) -> bool: ...
    def prepare(self, arguments: argparse.Namespace) -> None: ...
    def run(self, arguments: argparse.Namespace, built: Built) -> Sequence[Mapping[str, Any]]: ...


def add_package_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Let packages add their options, where the words hold one that the engine does not know.

    To look for packages takes longer than to parse the words, so it is done only then.
    """
    if not {"-h", "--help"} & set(words) and not parser.parse_known_args(words)[1]:
        return
    from importlib import metadata

    steps = [point.load() for point in sorted(metadata.entry_points(group=OPTIONS))]
    for step in steps:
        step.configure(parser)
    parser.set_defaults(**{_STEPS: tuple(steps)})


def chosen_steps(arguments: argparse.Namespace) -> list[AfterBuild]:
    """Those of the packages' steps that the options ask for."""
    return [step for step in getattr(arguments, _STEPS, ()) if step.asked(arguments)]
