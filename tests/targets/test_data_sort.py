"""`nexusbuild data sort`: moves that lose nothing, whatever happens, and can be undone."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from nexusbuild.cli import main
from raw_data import journal, moving

STEPS = {"question": "1+1?", "answer": "1 + 1 = 2 and so\n#### 2"}
CALL = {"query": "rain?", "tool_calls": [{"name": "weather", "arguments": {}}]}
NEXUSBUILD = [sys.executable, "-m", "nexusbuild.cli"]


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three files to sort and one to leave, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    write(folder / "sums" / "train.json", STEPS)
    write(folder / "sums" / "deep" / "more.data", STEPS)
    write(folder / "calls.jsonl", CALL)
    (folder / "README").write_text("about all this", encoding="utf-8")
    return folder


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 3), encoding="utf-8")


def files(folder: Path) -> dict[str, str]:
    """Path -> content of what is below a folder, but for the journals."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".sorts" not in path.parts
    }


SORTED = {
    "datasets/reasoning/sums/deep/more.data",
    "datasets/reasoning/sums/train.json",
    "datasets/tools/calls.jsonl",
    "raw/README",
}


def test_files_go_to_their_capability_and_back(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(raw.parent)
    assert main(["data", "sort", "raw", "--dry-run"]) == 0
    assert files(raw.parent) == before and not (raw.parent / "datasets").exists()
    told = capsys.readouterr().out
    assert "datasets/reasoning: 2 files would be moved" in told
    assert "calls.jsonl: 95% sure: tool calls in `tool_calls`" in told
    assert "raw/README" not in told and "README: about the data, not data" in told

    assert main(["data", "sort", "raw"]) == 0
    assert files(raw.parent).keys() == SORTED
    assert not (raw / "sums").exists()
    assert "nexusbuild data sort --undo takes it back" in capsys.readouterr().out

    assert main(["data", "sort", "--undo"]) == 0
    assert files(raw.parent) == before
    assert not (raw.parent / "datasets" / "reasoning").exists()
    assert main(["data", "sort", "--undo"]) == 2
    assert "no sort into datasets to undo" in capsys.readouterr().err


def test_json_says_what_went_where(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sort", "raw", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["path"]: one["capability"] for one in told["files"]} == {
        "README": None,
        "calls.jsonl": "tools",
        "sums/deep/more.data": "reasoning",
        "sums/train.json": "reasoning",
    }
    assert all(one["to"] is None or Path(one["to"]).is_file() for one in told["files"])
    assert (told["sorted"], told["left"], told["exit_code"]) == (3, 1, 0)
    assert Path(told["journal"]).is_file()
    assert main(["data", "sort", "elsewhere", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["message"] == "elsewhere is not a folder"


def test_links_leave_the_files_where_they_are(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(raw)
    assert main(["data", "sort", "raw", "--link", "--to", "sets"]) == 0
    assert files(raw) == before
    linked = raw.parent / "sets" / "reasoning" / "sums" / "train.json"
    assert linked.is_symlink() and linked.read_text(encoding="utf-8") == before["sums/train.json"]
    assert main(["data", "sort", "--undo", "--to", "sets"]) == 0
    assert files(raw) == before and not linked.parent.exists()
    assert capsys.readouterr().out.endswith("3 links removed\n")


def test_who_does_not_agree_changes_nothing_but_hears_what_went_wrong_before(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("targets.commands.data_sort._at_a_terminal", lambda: True)
    before = files(raw.parent)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["data", "sort", "raw"]) == 0
    assert files(raw.parent) == before
    assert capsys.readouterr().out.endswith("nothing was changed\n")

    into = raw.parent / "datasets"
    journal.write(into, raw, [journal.Move(raw / "gone", into / "code" / "gone")], links=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["data", "sort", "raw"]) == 1
    assert files(raw.parent) == before
    said = capsys.readouterr()
    assert said.out.endswith("nothing else was changed\n") and "raw/gone stays: " in said.err


def test_nothing_is_overwritten(raw: Path) -> None:
    write(Path("datasets/reasoning/sums/train.json"), "mine")
    write(Path("datasets/tools/calls.jsonl"), "mine too")
    before = files(raw.parent)
    assert main(["data", "sort", "raw"]) == 0
    after = files(raw.parent)
    assert after["datasets/reasoning/sums/train.json"] == '"mine"\n' * 3
    assert after["datasets/reasoning/sums-2/train.json"] == before["raw/sums/train.json"]
    assert after["datasets/tools/calls-2.jsonl"] == before["raw/calls.jsonl"]
    assert Counter(after.values()) == Counter(before.values())
    write(raw / "calls.jsonl", "new at the old place")
    assert main(["data", "sort", "--undo"]) == 1
    undone = files(raw.parent)
    assert undone["datasets/tools/calls-2.jsonl"] == before["raw/calls.jsonl"]
    assert undone["raw/sums/train.json"] == before["raw/sums/train.json"]


def test_a_folder_may_hold_what_it_is_sorted_into(raw: Path) -> None:
    assert main(["data", "sort", "."]) == 0
    assert main(["data", "sort", "."]) == 0
    assert "datasets/reasoning/raw/sums/train.json" in files(raw.parent)
    before = files(raw.parent)
    assert main(["data", "sort", "datasets"]) == 2
    assert files(raw.parent) == before


def test_a_confidence_that_is_too_low_leaves_a_file(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "sort", "raw", "--confidence", "0.93", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "datasets/tools: 1 file" in told and "datasets/reasoning" not in told
    assert "90% sure" in told.partition("left in raw")[2]
    with pytest.raises(SystemExit):
        main(["data", "sort", "raw", "--confidence", "2"])
    assert "2 is no share between 0 and 1" in capsys.readouterr().err


def test_names_may_hold_what_is_no_text(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = raw / os.fsdecode(b"od\xffd \n name.jsonl")
    write(odd, CALL)
    assert main(["data", "sort", "raw"]) == 0
    assert "od\\udcffd" in capsys.readouterr().out and not odd.exists()
    assert main(["data", "sort", "--undo", "--json"]) == 0
    assert odd.is_file() and len(json.loads(capsys.readouterr().out)["files"]) == 4


def test_one_sort_at_a_time(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.alone(Path("datasets").resolve()):
        assert main(["data", "sort", "raw"]) == 2
    assert "another sort into" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["two names", "copy"])
def test_where_one_call_cannot_move_a_file(
    way: str, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the call that refuses to overwrite, and between two file systems."""
    if way == "two names":
        monkeypatch.setattr(moving, "_renameat2", None)
    else:
        real = moving._rename

        def across(source: Path, place: Path) -> None:
            if source.parent != place.parent:
                raise OSError(18, "Invalid cross-device link")
            real(source, place)

        monkeypatch.setattr(moving, "_rename", across)
    before = files(raw.parent)
    write(Path("datasets/tools/calls.jsonl"), "mine")
    with pytest.raises(FileExistsError):
        moving.move(raw / "calls.jsonl", Path("datasets/tools/calls.jsonl"))
    Path("datasets/tools/calls.jsonl").unlink()
    assert main(["data", "sort", "raw"]) == 0
    assert files(raw.parent).keys() == SORTED
    assert main(["data", "sort", "--undo"]) == 0
    assert files(raw.parent) == before


def digests(folder: Path) -> Counter[str]:
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".sorts" not in path.parts
    )


def killed_at(line: int, *command: str) -> bool:
    """Run a command in a process of its own that is killed at the n-th line it reaches of what
    moves files and writes journals; whether it came that far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no threads
        process = os.fork()
    if process == 0:
        reached = 0

        def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
            nonlocal reached
            if frame.f_code.co_filename not in (journal.__file__, moving.__file__):
                return None
            reached += event == "line"
            if reached == line:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.settrace(trace)
        os._exit(main(list(command)))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_kills_at_any_line_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        write(tmp_path / f"raw/{number % 5}/{number:02}.x", {**STEPS, "id": number})
    before = files(tmp_path)
    wanted = Counter(dict.fromkeys(digests(tmp_path), 1))
    chance = random.Random(8)
    sort, undo = ("data", "sort", "raw"), ("data", "sort", "--undo")
    counts, sorts_killed, undos_killed = [], 0, 0
    for first in range(1, 1200, 60):
        sorts_killed += killed_at(first + chance.randrange(60), *sort)
        assert digests(tmp_path) == wanted
        counts.append(len(files(tmp_path / "datasets")))
        if chance.random() < 0.5:  # the same command finishes it; else it is undone half done
            assert main(list(sort)) == 0
            assert digests(tmp_path) == wanted and not files(tmp_path / "raw")
        undos_killed += killed_at(chance.randrange(1, 900), *undo)
        assert digests(tmp_path) == wanted
        if journal.latest(tmp_path / "datasets") is not None:
            assert main(list(undo)) == 0
        assert files(tmp_path) == before
    assert sorts_killed >= 10 and undos_killed >= 5, (sorts_killed, undos_killed)
    assert any(0 < count < 30 for count in counts), counts


def test_a_killed_command_is_finished_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(200):
        write(tmp_path / f"raw/{number:03}.x", {**STEPS, "id": number})
    wanted = Counter(dict.fromkeys(digests(tmp_path), 1))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*NEXUSBUILD, "data", "sort", "raw"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    while process.poll() is None and not Path("datasets/.sorts/0001.open.jsonl").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert digests(tmp_path) == wanted
    assert main(["data", "sort", "raw"]) == 0
    assert digests(tmp_path) == wanted and not files(tmp_path / "raw")


def test_a_person_at_a_terminal_is_asked(raw: Path) -> None:
    pty = pytest.importorskip("pty", reason="there are no terminals to try here")
    for answer, sorted_ in ((b"n\n", False), (b"y\n", True)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*NEXUSBUILD, "data", "sort", "raw"],
            stdin=theirs,
            stdout=theirs,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"},
        )
        os.close(theirs)
        told = b""
        while b"[y/N]" not in told:
            told += os.read(ours, 1024)
        os.write(ours, answer)
        assert process.wait(30) == 0
        os.close(ours)
        assert b"datasets/tools: 1 file to be moved" in told
        assert (raw / "calls.jsonl").exists() != sorted_
