"""What a person sees on a terminal: as wide as it is, a screen long, legible without colours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

import pytest
from toy_project import Toy

from nexusbuild.command import command_names


def seen(toy: Toy, columns: int, *arguments: str) -> list[str]:
    """The lines that the command shows, both streams in one, on a terminal of that width."""
    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = toy.forked(list(arguments), terminal, terminal)
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while part := os.read(screen, 65536):
            text += part
    os.close(screen)
    os.waitpid(child, 0)
    return text.decode().replace("\r\n", "\n").splitlines()


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # lines, and no picture that moves


@pytest.fixture
def large(toy: Toy) -> Toy:
    """Twenty that read a file which is not there, ten that need these, and ten of their own."""
    for number in range(20):
        toy.target(f"reader:{number}", sources={"it": f"data/{number % 2}.txt"})
    for number in range(10):
        toy.target(f"step:{number}", inputs={"a": f"reader:{number}"})
        toy.target(f"other:{number}")
    return toy


def test_a_plan_that_no_screen_holds_is_folded_by_kind(large: Toy) -> None:
    lines = seen(large, 80, "--dry-run")
    assert lines == [
        "blocked reader (20)  what it reads is missing",
        "blocked step (10)    needs what is blocked",
        "stale   other (10)   never built",
        "a row for each target: --verbose",
        "missing:",
        "  data/0.txt",
        "      put data/0.txt back",
        "  data/1.txt",
        "      put data/1.txt back",
        "10 stale, 30 blocked",
        "about 1 s to build",
    ]
    assert len(seen(large, 80, "--dry-run", "--verbose")) == 40 + 7
    assert len(large.run("--dry-run").stdout.splitlines()) == 40 + 7, "no terminal, no folding"


def test_a_plan_that_a_screen_holds_is_not_folded(chain: Toy) -> None:
    assert any(line.startswith("stale   step:a ") for line in seen(chain, 80, "--dry-run"))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal(large: Toy, columns: int) -> None:
    large.spec["notes"] = ["a note that says a good deal " * 6]
    large.target(f"long:{'name/' * 12}last", sources={"it": "data/0.txt"})
    for arguments in (["--dry-run"], ["--dry-run", "--verbose"], ["why", "reader:1"]):
        lines = seen(large, columns, *arguments)
        assert max(map(len, lines)) <= columns, lines


def test_a_terminal_that_knows_no_width_gets_whole_lines(toy: Toy) -> None:
    long = f"long:{'name/' * 9}last"
    toy.spec["notes"] = ["a note that says a good deal " * 6]
    toy.target(long)
    lines = seen(toy, 0, "--dry-run")
    assert f"stale   {long}  never built" in lines
    assert f"note: {toy.spec['notes'][0]}" in lines
    assert seen(toy, 0, "ls", "--help") == seen(toy, 80, "ls", "--help")


@pytest.mark.parametrize("name", command_names())
def test_help_fits_eighty_columns(toy: Toy, name: str) -> None:
    lines = seen(toy, 80, name, "--help")
    assert max(map(len, lines)) <= 80, [line for line in lines if len(line) > 80]


def test_what_is_cut_leaves_room_for_the_reason(toy: Toy) -> None:
    toy.target(f"long:{'name/' * 9}last")
    toy.target("short:it")
    lines = seen(toy, 80, "--dry-run")
    assert f"stale   long:{'name/' * 9}last  never built" in lines
    assert any(line.startswith("stale   short:it  ") for line in lines)


def test_a_command_can_be_copied(toy: Toy) -> None:
    command = f"$ fetch {'--from somewhere ' * 8}--to data.txt"
    toy.target("reader:it", sources={"it": "data.txt"})
    toy.edit("toy/resolver.py", 'f"put {path} back"', f'"{command}\\nor do without"')
    for arguments in (["--dry-run"], []):
        lines = seen(toy, 80, *arguments)
        assert max(map(len, lines)) <= 80
        first = next(place for place, line in enumerate(lines) if "$ fetch" in line)
        last = next(place for place, line in enumerate(lines) if "--to data.txt" in line)
        assert all(line.endswith(" \\") for line in lines[first:last])
        assert " ".join(line.strip(" \\") for line in lines[first : last + 1]) == command
        assert lines[last + 1].strip() == "or do without"


def test_a_reason_is_said_once(toy: Toy) -> None:
    toy.target("reader:it", sources={"it": "data.txt"})
    toy.target("step:it", inputs={"a": "reader:it", "b": "reader:it#out.txt"})
    assert "blocked step:it    reader:it is blocked; never built" in seen(toy, 80, "--dry-run")


def test_the_end_of_a_build_is_its_last_line(toy: Toy) -> None:
    toy.spec["notes"] = ["worth knowing"]
    toy.target("one:it")
    toy.target("two:it")
    lines = seen(toy, 80)
    assert lines[-1].endswith("2 built")
    assert any("note: worth knowing" in line for line in lines)


def test_where_a_release_lies_is_said(chain: Toy) -> None:
    done = chain.run()
    assert done.returncode == 0
    *_, released, counts = done.stdout.splitlines()
    assert released.startswith("released: dist/")
    assert all((chain.folder / place).exists() for place in released[10:].split(", "))
    assert counts.endswith("built")
    assert "released" not in chain.run().stdout, "nothing was done"


def test_colours_only_where_they_are_wanted(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.target("one:it")
    assert not any("\x1b" in line for line in seen(toy, 80, "--dry-run"))
    monkeypatch.delenv("NO_COLOR")
    assert seen(toy, 80, "--dry-run")[0].startswith("\x1b[33mstale  \x1b[0m one:it")
    assert "\x1b" not in toy.run("--dry-run").stdout
