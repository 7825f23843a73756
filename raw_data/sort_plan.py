"""What a sort does, before it does it: what goes where and what stays, in words and as JSON."""

from __future__ import annotations

import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raw_data.findings import Finding, findings
from raw_data.sorting import Placed, sorted_files

LISTED_ALONE = 2
LEFT_NAMED = 3


@dataclass(frozen=True)
class SortPlan:
    """folder: where the files lie, as a person wrote it. into: where they go. links: whether the
    files stay and links to them are made. stay: what is not sure enough.
    """

    folder: str
    into: Path
    links: bool
    placed: Sequence[Placed]
    stay: Sequence[Finding]

    def lines(self, will: str, columns: int) -> Iterator[str]:
        """A heading for each place, and below it the files of one folder and reason together.

        will: what stands before `moved`: `to be `, say. columns: that a line may take.
        """
        done = f"{will}{'linked' if self.links else 'moved'}"
        by_place: dict[str, list[Finding]] = defaultdict(list)
        for one in self.placed:
            by_place[one.finding.capability or ""].append(one.finding)
        for capability in sorted(by_place):
            group = by_place[capability]
            yield f"{show_path(self.into / capability)}: {_number_of_files(group)} {done}"
            yield from _list_columns(group, columns)
        if self.stay:
            yield f"{_number_of_files(self.stay)} left in {self.folder}"
            yield from _left(self.stay, columns)
        if not self.placed:
            yield f"nothing in {self.folder} to sort"

    def to_json(self) -> dict[str, Any]:
        """Every file, with what was found in it and where it goes."""
        places = {one.finding.path: os.fspath(one.place) for one in self.placed}
        found = [*(one.finding for one in self.placed), *self.stay]
        return {
            "folder": self.folder,
            "to": os.fspath(self.into),
            "links": self.links,
            "files": [
                {
                    "path": one.path.as_posix(),
                    "kind": one.kind,
                    "capability": one.capability,
                    "confidence": one.confidence,
                    "reason": one.reason,
                    "to": places.get(one.path),
                }
                for one in sorted(found, key=lambda one: one.path)
            ],
            "sorted": len(self.placed),
            "left": len(self.stay),
        }


def plan_sort(folder: Path, into: Path, least: float, *, written: str, links: bool) -> SortPlan:
    """Look into every file below a folder. least: how sure it must be of a file. written: the
    folder as a person wrote it.
    """
    placed, stay = sorted_files(findings(folder, without=into), into, least)
    return SortPlan(written, into, links, placed, stay)


def show_path(path: Path) -> str:
    """A path as a person here would write it."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)


def _list_columns(found: Sequence[Finding], columns: int) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in found:
        reason = re.sub(r", in \d+% of the rows$", "", one.reason)
        groups[one.path.parent.as_posix(), reason].append(one)
    for (folder, reason), group in groups.items():
        if len(group) <= LISTED_ALONE:
            for one in group:
                yield _line(one.path.as_posix(), [one], one.reason, columns)
        else:
            files = _number_of_files(group)
            name = files if folder == "." else f"{folder}/  {files}"
            yield _line(name, group, reason, columns)


def _left(stay: Sequence[Finding], columns: int) -> Iterator[str]:
    """By reason: what stays lies scattered."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for one in stay:
        groups[one.reason].append(one)
    for reason, group in groups.items():
        names = [one.path.as_posix() for one in group[:LEFT_NAMED]]
        more = f" and {len(group) - LEFT_NAMED:,} more" if len(group) > LEFT_NAMED else ""
        yield _line(f"{', '.join(names)}{more}", group, reason, columns)


def _line(name: str, group: Sequence[Finding], reason: str, columns: int) -> str:
    lowest, highest = (pick(one.confidence for one in group) for pick in (min, max))
    sure = f"{lowest:.0%}" if lowest == highest else f"{lowest:.0%} to {highest:.0%}"
    if highest:
        reason = f"{sure} sure: {reason}"
    return textwrap.fill(
        f"{name}: {reason}", columns, initial_indent="  ", subsequent_indent="      ",
        break_on_hyphens=False,
    )  # fmt: skip


def _number_of_files(files: Sequence[Finding]) -> str:
    return f"{len(files):,} {'file' if len(files) == 1 else 'files'}"
