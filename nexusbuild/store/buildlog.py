"""The log of builds: one file each, a line per event, readable after a kill at any moment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.digest.plain_file import read_plain_file
from nexusbuild.rule.names import is_digest, is_target_id

_MOST_BYTES = 64 << 20
_LARGEST = 1 << 36  # seconds since 1970 that a calendar can show; builds are fewer


@dataclass(frozen=True)
class Build:
    """One earlier build. keys: target -> its key at the end. exit_code: None if it was killed."""

    number: int
    started: float
    spec: str
    command: str
    targets: tuple[Mapping[str, Any], ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    seconds: float | None = None

    def count(self, state: str) -> int:
        return sum(1 for target in self.targets if target["state"] == state)


class BuildLog:
    """The log of the build that runs now."""

    def __init__(
        self, root: Path, spec: str, command: str, began: float, kept: Mapping[str, str]
    ) -> None:
        """began: in seconds since the epoch. kept: target -> key, as things stood, for the targets
        that this build does not touch.
        """
        numbers = [build.number for build in read_builds(root)]
        self.number = max(numbers, default=0) + 1
        self._began = began
        self._keys = dict(kept)
        while os.path.lexists(path := root / "builds" / f"{self.number:06d}.jsonl"):
            self.number += 1  # a file that nobody can read has this number
        self._file = path.open("x", encoding="utf-8")
        self._line(
            {"number": self.number, "started": self._began, "spec": spec, "command": command}
        )

    def target(
        self, target: str, state: str, key: str | None, seconds: float, settled: bool
    ) -> None:
        """`settled`: the target's result is that of `key` from here on."""
        if settled and key is not None:
            self._keys[target] = key
        if state != "fresh":
            self._line({"id": target, "state": state, "key": key, "seconds": round(seconds, 3)})

    def end(self, exit_code: int) -> None:
        seconds = round(time.time() - self._began, 3)
        self._line({"exit_code": exit_code, "seconds": seconds, "keys": self._keys})
        self._file.close()

    def _line(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, sort_keys=True) + "\n")
        self._file.flush()


def read_builds(root: Path) -> list[Build]:
    """All builds, oldest first; lines that were cut off are left out."""
    try:
        paths = sorted(path for path in (root / "builds").iterdir() if path.suffix == ".jsonl")
    except OSError:
        return []
    builds = (_read_build(path) for path in paths)
    return [build for build in builds if build is not None]


def _read_build(path: Path) -> Build | None:
    lines = []
    try:
        content = read_plain_file(path, _MOST_BYTES)
    except OSError:
        return None
    for text in content.decode(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    if not lines or not _is_head(lines[0]):
        return None
    head, rest = lines[0], lines[1:]
    targets = tuple(filter(_is_target, rest))
    last = rest[-1] if rest and _is_end(rest[-1]) else {}
    keys = last.get("keys") or {line["id"]: line["key"] for line in targets if line["key"]}
    return Build(
        number=head["number"],
        started=head["started"],
        spec=head["spec"],
        command=head["command"],
        targets=targets,
        keys=keys,
        exit_code=last.get("exit_code"),
        seconds=last.get("seconds"),
    )


def _is_head(line: Mapping[str, Any]) -> bool:
    texts = (line.get("spec"), line.get("command"))
    return (
        _is_number(line.get("number"), int)
        and _is_number(line.get("started"))
        and all(isinstance(each, str) for each in texts)
    )


def _is_target(line: Mapping[str, Any]) -> bool:
    key = line.get("key")
    return (
        is_target_id(line.get("id"))
        and isinstance(line.get("state"), str)
        and _is_number(line.get("seconds"))
        and "key" in line
        and (key is None or is_digest(key))
    )


def _is_end(line: Mapping[str, Any]) -> bool:
    keys, seconds = line.get("keys", {}), line.get("seconds")
    return (
        _is_number(line.get("exit_code"), int)
        and (seconds is None or _is_number(seconds))
        and isinstance(keys, dict)
        and all(is_target_id(target) and is_digest(key) for target, key in keys.items())
    )


def _is_number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    """Whether it can be shown as a number of things, or as a time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, kind) and 0 <= value < _LARGEST


def find_build(root: Path, name: str) -> Build:
    """The build of this number; `last` is the last, -1 too, -2 the one before."""
    builds = read_builds(root)
    if name == "last":
        name = "-1"
    for build in builds:
        if str(build.number) == name:
            return build
    if name.startswith("-") and name[1:].isdecimal() and 0 < int(name[1:]) <= len(builds):
        return builds[int(name)]
    raise errors.no_such_build(name, [str(build.number) for build in builds])
