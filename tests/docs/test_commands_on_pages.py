"""Every command on every page: what is cheap is run word by word, in order, in a copy of the
project without results; the rest, and what stands in sentences, is parsed.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, examples, shell_blocks, spans

from nexus.cli import command_parser as nexus_parser
from nexusbuild.cli import main
from nexusbuild.command import command_names
from nexusbuild.commands.parsing import find_command, parser_of

# Of nexusbuild: these build nothing and need no result of a build.
CHEAP = ("add", "check", "completion", "data", "doctor", "graph", "import", "init", "lock", "log",
         "ls", "report", "schema", "why")  # fmt: skip
SHELL = ("cat", "cp", "mkdir", "printf")
PARSED = ("curl", "export", "git", "make", "pip", "python", "python3", "sha256sum", "source")


def words_of(command: str) -> tuple[str, list[str]]:
    """The program without the environment's folder, and its arguments, up to where its output
    goes."""
    own = itertools.takewhile(lambda word: word not in (">", "|"), shlex.split(command))
    program, *words = own
    return program.removeprefix(".venv/bin/"), words


def is_cheap(words: list[str]) -> bool:
    if {"-n", "--dry-run", "-h", "--help"} & set(words):
        return True
    return bool(words) and words[0] in CHEAP


def parse(command: str) -> None:
    """Raises SystemExit where a program of ours would refuse the words."""
    program, words = words_of(command)
    if program == "nexusbuild":
        name = words[0] if words and words[0] in command_names() else "build"
        rest = words[1:] if words and words[0] == name else words
        parser_of(name, find_command(name), rest).parse_args(rest)
    elif program == "nexus":
        nexus_parser().parse_args(words)
    elif program in ("make",):
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
    elif program in ("python", "python3") and words[0].endswith(".py"):
        assert (ROOT / words[0]).is_file(), command
    else:
        assert program in (*SHELL, *PARSED), f"{command}: no test knows this program"
        subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in shell_blocks(page):
        for command in block.commands:
            try:
                parse(command)
            except SystemExit as refused:
                help_ = {"-h", "--help"} & set(shlex.split(command))
                assert refused.code == 0 and help_, f"{block.name}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in examples(page):
        try:
            parse(command)
        except SystemExit:
            pytest.fail(f"{command}: {capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_sentences_name_is_there(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sentences leave out what goes without saying, and write METRIC for a metric."""
    for command in spans(page):
        try:
            parse(command)
        except SystemExit:
            said = capsys.readouterr().err
            left_out = "are required" in said or re.search(r"invalid choice: '[A-Z]+'", said)
            assert left_out, f"{command}: {said}"


RUN = [page for page in PAGES if any(not block.mark for block in shell_blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_cheap_commands_work(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nexus.yaml", "nexus.lock"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    # What the pages call the reader's own: a folder of raw data.
    (tmp_path / "raw").mkdir()
    row = {"question": "What is 2 plus 3?", "answer": "2 + 3 = 5, so it is 5.\n#### 5"}
    (tmp_path / "raw" / "sums.jsonl").write_text(f"{json.dumps(row)}\n" * 20, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for block in shell_blocks(page):
        if not block.mark.startswith("not run"):
            for command in block.commands:
                run(block, command)


def run(block: Block, command: str) -> None:
    program, words = words_of(command)
    if program in SHELL:
        subprocess.run(["bash", "-c", command], check=True)
    elif program in ("python", "python3") and (ROOT / words[0]).is_file() and len(words) == 1:
        subprocess.run([sys.executable, *words], check=True)
    elif program == "nexusbuild" and is_cheap(words):
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                code = main(words)
            except SystemExit as ended:
                code = int(ended.code or 0)
        expected = int(block.mark.rpartition(" ")[2]) if block.mark else 0
        assert code == expected, (
            f"{block.name}: {command}\n{said.getvalue()}{complained.getvalue()}"
        )
        assert said.getvalue(), command


def test_the_commands_are_found() -> None:
    """The tests above would pass on pages that they cannot read."""
    commands = [
        command for page in PAGES for block in shell_blocks(page) for command in block.commands
    ]
    assert len(commands) > 25
    cheap = [command for command in commands if words_of(command)[0] == "nexusbuild"
             and is_cheap(words_of(command)[1])]  # fmt: skip
    assert len(cheap) > 10
    assert sum(1 for page in PAGES for _ in spans(page)) > 30
    assert sum(1 for page in PAGES for _ in examples(page)) > 50
