"""Counts the project's files that one build passes, and the turns back from file to file.

    python benchmarks/files_passed.py [--within FILE:FUNCTION] -- [arguments of nexusbuild]

A file is passed when one of its functions runs; code that runs while a module is imported does not
count. A turn back is a pair of files (A, B) such that control returned at least once from A to B.
So a loop counts once, however often it goes round. With --within (any number of times) what runs
inside that function is counted by itself. A `score` cannot be followed: its process is confined,
and may not write the log.

`docs/architecture.md` shows what it printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

WHOLE = "all processes"
PACKAGES = (
    "specs",
    "nexus",
    "modalities",
    "opened_models",
    "training",
    "samplers",
    "raw_data",
    "targets",
    "nexusbuild",
)
START = "import sys; sys.path.append({here!r}); import files_passed; sys.path.remove({here!r})\n"


class Recorder:
    """Follows the calls of one process; writes every move between files that is new to it.

    A line of the log is [scope, from, to, "call" or "return"].
    """

    def __init__(self, root: Path, log: Path, within: list[str]) -> None:
        self._root = str(root) + os.sep
        self._log = log
        self._within = within
        self._names: dict[str, str] = {}
        self._known: set[tuple[str, str, str, str]] = set()
        self._of_thread = threading.local()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        name = self._names.get(code.co_filename)
        if name is None:
            name = self._names[code.co_filename] = self._name(code.co_filename)
        if not name:
            return
        here = self._of_thread
        if not hasattr(here, "stack"):
            here.stack, here.importing, here.scopes = [], 0, []
        if code.co_name == "<module>" and frame.f_globals["__name__"] != "__main__":
            here.importing += 1 if event == "call" else -1
        elif not here.importing and event == "call":
            self._enter(here, name, f"{name}:{code.co_name}")
        elif not here.importing and here.stack:
            self._leave(here)

    def _enter(self, here: Any, name: str, function: str) -> None:
        before = here.stack[-1] if here.stack else ""
        self._note(here, before, name, "call")
        here.stack.append(name)
        if function in self._within and function not in [scope for scope, _ in here.scopes]:
            here.scopes.append((function, len(here.stack)))
            self._write(function, "", name, "call")

    def _leave(self, here: Any) -> None:
        name = here.stack.pop()
        if here.scopes and here.scopes[-1][1] > len(here.stack):
            here.scopes.pop()
        self._note(here, name, here.stack[-1] if here.stack else "", "return")

    def _note(self, here: Any, before: str, after: str, event: str) -> None:
        if before != after:
            for scope, _ in here.scopes:
                self._write(scope, before, after, event)
            self._write(WHOLE, before, after, event)

    def _write(self, *move: str) -> None:
        if move not in self._known:
            self._known.add(move)
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(move) + "\n")

    def _name(self, file: str) -> str:
        """The file's path below the root; "" where it is none of the project's."""
        path = file.removeprefix(self._root)
        return path if path != file and path.partition(os.sep)[0] in PACKAGES else ""


def begin(root: str, log: str, within: list[str]) -> None:
    """Record this process, and those that are forked from it."""
    recorder = Recorder(Path(root), Path(log), within)
    threading.setprofile(recorder)
    sys.setprofile(recorder)


def recorded_moves(root: Path, within: list[str], command: list[str]) -> list[list[str]]:
    """The moves of `nexusbuild` with these arguments, in all its processes. Raises
    CalledProcessError where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "moves"
        here = str(Path(__file__).resolve().parent)
        start = (
            START.format(here=here)
            + f"files_passed.begin({str(root)!r}, {str(log)!r}, {within!r})\n"
        )
        (Path(folder) / "sitecustomize.py").write_text(start, encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "nexusbuild", *command],
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": folder},
        )
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def files_and_turns(moves: list[list[str]], scope: str) -> tuple[list[str], int]:
    """The files in the order in which control first entered them; how many turns back."""
    own = [(before, after, event) for of, before, after, event in moves if of == scope]
    files = dict.fromkeys(after for _, after, event in own if event == "call")
    turns = {(before, after) for before, after, event in own if event == "return" and after}
    return list(files), len(turns)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="a checkout; default: here")
    parser.add_argument("--within", action="append", default=[], metavar="FILE:FUNCTION")
    parser.add_argument("command", nargs="*", help="arguments of nexusbuild, after `--`")
    arguments = parser.parse_args()
    try:
        moves = recorded_moves(arguments.root.resolve(), arguments.within, arguments.command)
    except subprocess.CalledProcessError as error:
        return error.returncode  # it has said why
    for scope in [*arguments.within, WHOLE]:
        files, turns = files_and_turns(moves, scope)
        print(f"\n{scope}: {len(files)} files, {turns} turns back")
        for file in files:
            print(f"  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
