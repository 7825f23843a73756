"""Completion, in the shells themselves where they are installed."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_project import Toy


@pytest.fixture
def words(built: Toy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What the last of the words can become, as a shell asks for it."""

    def complete(*typed: str) -> list[str]:
        line = shlex.join(["nexusbuild", *typed[:-1]]) + f" {typed[-1]}"
        answer = built.folder / "answer"
        asked = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_DFS": "\t",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        with monkeypatch.context() as patch:
            for name, value in asked.items():
                patch.setenv(name, value)
            assert built.run().returncode == 0
        return [each.partition("\t")[0] for each in answer.read_text().splitlines()]

    return complete


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["ga"], ["gate", "gate:b"]),
        (["gc"], ["gc"]),
        (["why", "step:"], ["step:a", "step:b"]),
        (["why", "+ste"], ["+step", "+step:a", "+step:b"]),
        (["why", "step:a", "gate:"], ["gate:b"]),
        (["diff", "1", "last", ""], []),
        (["ls", "step:a", "oth"], ["other"]),
        (["--force", "data"], ["data", "data:words"]),
        (["-n", "--pl"], ["--plan"]),
        (["--plan", "nexus.y"], ["nexus.yaml"]),
        (["store", "ex"], ["export"]),
        (["store", "export", "--js"], ["--json"]),
        (["graph", "--format", ""], ["text", "dot", "mermaid", "json"]),
        (["log", ""], ["last", "1"]),
        (["why", "step:a", "--against", ""], ["last", "1"]),
        (["completion", "f"], ["fish"]),
        (["-j", ""], []),
        (["-f", "nowhere.yaml", "step"], []),
    ],
)
def test_what_can_stand_there(
    words: Callable[..., list[str]], typed: list[str], expected: list[str]
) -> None:
    assert words(*typed) == expected


def test_before_a_letter_is_typed_there_are_no_ids(words: Callable[..., list[str]]) -> None:
    found = words("")
    assert {"why", "ls", "step", "release"} <= set(found)
    assert "step:a" not in found


def test_a_broken_spec_completes_commands_still(
    built: Toy, words: Callable[..., list[str]]
) -> None:
    built.write("nexus.yaml", "{")
    assert words("ls", "st") == []
    assert words("sto") == ["store"]


def test_ids_come_from_the_kept_graph(built: Toy, words: Callable[..., list[str]]) -> None:
    """Completion is asked for at every press of a key: it resolves once, not each time."""
    built.spec["diary"] = "diary"
    built.save()
    time.sleep(0.12)
    assert words("ls", "step:") == words("ls", "step:") == ["step:a", "step:b"]
    assert (built.folder / "diary").read_text() == "resolved\n"


def program_in(folder: Path) -> str:
    """PATH with a folder first that holds the program."""
    folder.mkdir()
    program = folder / "nexusbuild"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nexusbuild "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, toy: Toy, *command: str) -> None:
        environment = toy.environment | {
            "PATH": program_in(toy.folder / "programs"),
            "TERM": "xterm",
            "HOME": str(toy.folder),
            "PS1": "$ ",
        }
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(toy.folder)
            os.execvpe(command[0], list(command), environment)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        limit = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < limit, f"no {text!r} in:\n{self.seen}"
            if select.select([self._terminal], [], [], 0.5)[0]:
                self.seen += os.read(self._terminal, 65536).decode(errors="replace")

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self.pid, 0)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(nexusbuild completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -d compdump; source <(nexusbuild completion zsh)",
    ),
}


@pytest.mark.parametrize("shell", list(SHELLS))
def test_a_shell_completes(built: Toy, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command, script = SHELLS[shell]
    terminal = Terminal(built, *command)
    try:
        terminal.type(f"{script}; echo re''ady\n")
        terminal.wait_for("ready\r\n")
        terminal.type("nexusbuild ls oth\t\n")  # a whole word
        terminal.wait_for("fresh   other")
        terminal.type("nexusbuild ls gate:\t\n")  # behind a colon, which parts words in bash
        terminal.wait_for("fresh   gate:b")
        terminal.type("nexusbuild ls +da\t:\t\n")  # a kind, then its one target
        terminal.wait_for("fresh   data:words")
        terminal.type("nexusbuild -f nexus.y\t -n rel\t\n")  # a file, then an id
        terminal.wait_for("5 fresh\r\n")
    finally:
        terminal.type("\x03\nexit\n")
        terminal.close()


def test_fish_completes(built: Toy) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    programs = program_in(built.folder / "programs")

    def completed(line: str) -> list[str]:
        script = f"nexusbuild completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            cwd=built.folder,
            env=built.environment | {"PATH": programs, "HOME": str(built.folder)},
            capture_output=True,
            text=True,
        )
        return done.stdout.splitlines()

    assert completed("nexusbuild ls gate:") == ["gate:b"]
    assert completed("nexusbuild gr") == ["graph\tthe targets and what they need"]
    assert "nexus.yaml" in completed("nexusbuild -f nexus.y")
