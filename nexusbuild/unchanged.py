"""Whether all that the last plan looked at is as it was, and every target was fresh then.

A build that finds every target fresh leaves a note of all that its plan was made from: files and
folders, links of the store, answers that the resolver got. Where every one of them is the same, the
plan is the same, and a dry run need not make it again. Here they are looked at, importing as little
as possible; `run/note.py` writes the note.
"""

# ruff: noqa: PTH109, PTH113, PTH115, PTH116, PTH118, PTH120, PTH208
# The whole of most dry runs; os is several times as fast as pathlib.

from __future__ import annotations

import os
import sys

from nexusbuild.digest.installed import installed_packages, places_of
from nexusbuild.digest.statcache import OBJECT_TIME_NS, read_values, signature_at
from nexusbuild.rule.disk import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPEC_NAME = "nexus.yaml"
NOTE = "cache/unchanged"  # in the store


def dry_run_lines() -> list[str] | None:
    """What a dry run of the nearest spec prints; None where a plan has to be made."""
    try:
        folder = os.getcwd()
    except OSError:
        return None
    while not os.path.isfile(os.path.join(folder, SPEC_NAME)):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return noted_lines(folder)


def noted_lines(folder: str) -> list[str] | None:
    """The same for the spec in `folder`."""
    note = read_values(f"{folder}/.nexus/{NOTE}")
    if not isinstance(note, dict) or note.get("setting") != setting_of(folder):
        return None
    unchanged = (
        all(signature_at(path) == then for path, then in note["files"])
        and all(names_in(path, hidden) == then for path, hidden, then in note["folders"])
        and all(link_at(path) == then for path, then in note["links"])
        and all(object_is_sound(path, size) for path, size in note["objects"])
        and places_of(note["places"], python_path(folder)) == note["places"]
        and all(answer(*question) == then for question, then in note["answers"])
    )
    return list(note["lines"]) if unchanged else None


def setting_of(folder: str) -> list[Any]:
    """In which circumstances a plan is made: where, with which resolver and which Python.

    Notes name paths as they are seen from the folder that a person is in.
    """
    resolver = os.environ.get("NEXUSBUILD_RESOLVER")
    return [folder, os.getcwd(), resolver, sys.version, installed_packages()]


def python_path(folder: str) -> list[str]:
    """Where modules are looked for, when the spec lies in `folder`."""
    return [*sys.path, folder] if ":" in os.environ.get("NEXUSBUILD_RESOLVER", "") else sys.path


def names_in(folder: str, hidden: bool) -> list[str] | None:
    """What lies in a folder, byte code aside. hidden: also names that begin with a dot."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    return names if hidden else [each for each in names if each[0] != "." and each != "__pycache__"]


def link_at(path: str) -> str | None:
    """Where a link leads; None where there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def object_is_sound(path: str, size: int) -> bool:
    """Whether an object of the store is there and untouched, by its stat."""
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return stat.st_size == size and stat.st_mtime_ns == OBJECT_TIME_NS
