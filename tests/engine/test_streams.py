"""Readers that leave, streams that are closed, letters that a terminal does not know."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from toy_project import Toy

from nexusbuild.errors import FAILED, WRONG


def in_shell(toy: Toy, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The line as a shell runs it; `"$@"` in it is nexusbuild."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *toy.command()],
        cwd=toy.folder,
        env={**toy.environment, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_reader_who_leaves_does_not_hide_that_a_target_failed(toy: Toy) -> None:
    toy.target("kind:bad", work="toy.works:fail")
    done = in_shell(toy, '"$@" | true; echo ${PIPESTATUS[0]}; "$@" --json 2>&1 | true; '
                    "echo ${PIPESTATUS[0]}")  # fmt: skip
    assert done.stdout.split() == [str(FAILED)] * 2
    assert "no luck with kind:bad" in done.stderr and "Traceback" not in done.stderr


def test_closed_streams_are_written_to_no_other_file(toy: Toy) -> None:
    toy.target("kind:it")
    done = in_shell(toy, '"$@" <&- >&- 2>&-; echo $?; "$@" nothing >&- 2>&-; echo $?')
    assert done.stdout.split() == ["0", str(WRONG)] and not done.stderr
    assert toy.plan() == {"kind:it": "fresh"}
    files = [path for path in (toy.folder / ".nexus").rglob("*") if path.is_file()]
    assert not any(b"1 built" in path.read_bytes() for path in files)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_an_error(toy: Toy) -> None:
    toy.target("kind:it")
    done = in_shell(toy, '"$@" ls > /dev/full; echo $?; "$@" ls --json > /dev/full; echo $?')
    assert done.stdout.split() == [str(FAILED)] * 2
    assert done.stderr.count("no space left") == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_a_terminal_does_not_know_are_escaped(toy: Toy, encoding: str) -> None:
    toy.target("kind:it", settings={"fixed": "é → ñ"})
    for line in ('"$@" why kind:it', '"$@"', '"$@" why kind:it --json'):
        done = in_shell(toy, line, PYTHONIOENCODING=f"{encoding}:strict", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["targets"][0]["record"]
    assert record["settings"]["fixed"] == "é → ñ"


def test_a_name_that_is_no_text_is_shown_all_the_same(toy: Toy) -> None:
    toy.target("kind:it")
    name = os.fsdecode(b"caf\xe9.yaml")
    done = subprocess.run(
        toy.command("-f", name, "--json"),
        cwd=toy.folder,
        env={**toy.environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == WRONG
    assert json.loads(done.stdout)["errors"][0]["where"] == name
