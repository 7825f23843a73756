"""Where each file of a folder goes: `<into>/<capability>/<its path below the folder>`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from raw_data.findings import Finding

LEAST_CONFIDENCE = 0.5


@dataclass(frozen=True)
class Placed:
    """A file with what was found in it, and the place that it goes to."""

    finding: Finding
    place: Path


def sorted_files(
    found: Iterable[Finding], into: Path, least: float = LEAST_CONFIDENCE
) -> tuple[list[Placed], list[Finding]]:
    """The files that are sure enough with their places, and those that stay.

    Files of one capability and one folder stay together: where one of them would meet a file that
    is there, another name is taken for the folder.
    """
    stay: list[Finding] = []
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in found:
        if finding.capability is None or finding.confidence < least:
            stay.append(finding)
        else:
            groups[finding.capability, finding.path.parts[0]].append(finding)
    placed: list[Placed] = []
    taken: set[Path] = set()
    for (capability, first), group in groups.items():
        name = _free_name(into / capability, first, group, taken)
        for finding in group:
            place = into / capability / PurePosixPath(name, *finding.path.parts[1:])
            taken.add(place)
            placed.append(Placed(finding, place))
    return placed, stay


def _free_name(folder: Path, first: str, group: list[Finding], taken: set[Path]) -> str:
    """`first`, or with a number where one of the group's places is not free."""
    name, number = first, 1
    while any(
        place in taken or os.path.lexists(place)
        for place in (folder / PurePosixPath(name, *one.path.parts[1:]) for one in group)
    ):
        number += 1
        name = _number_name(first, number, is_file=group[0].path.name == first)
    return name


def _number_name(name: str, number: int, *, is_file: bool) -> str:
    """`rows.jsonl.gz` -> `rows-2.jsonl.gz`; a folder's name gets the number at its end."""
    stem, dot, suffixes = name.partition(".") if is_file else (name, "", "")
    return f"{stem}-{number}{dot}{suffixes}"
