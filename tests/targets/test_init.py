"""A first spec for what lies on a disk: by flags, and by questions on a real terminal."""

import argparse
import contextlib
import gzip
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import specs
from nexusbuild.cli import main
from targets.commands import check, init
from targets.commands.found_on_disk import Machine, splits
from targets.commands.questions import Questions
from tests.targets.test_domain_commands import ran

ROOT = Path(__file__).parents[2]


def model(folder: Path, shape: tuple[int, ...] = (1000, 1000), **config: Any) -> None:
    """A model's folder, as far as anyone sees who does not open it."""
    folder.mkdir(parents=True)
    described = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **config}
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def data(folder: Path) -> None:
    folder.mkdir(parents=True)
    worked = [
        {
            "question": f"What is {n} + {n}?",
            "answer": f"{n} + {n} = <<{n}+{n}={n + n}>>{n + n}\n#### {n + n}",
        }
        for n in range(60)
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in worked))
    code = [
        {"text": f"Write f that adds {n}.", "code": f"def f(x):\n    return x + {n}",
         "test_list": [f"assert f(1) == {n + 1}"]}
        for n in range(40)
    ]  # fmt: skip
    (folder / "code.jsonl").write_text("".join(json.dumps(row) + "\n" for row in code))
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n", encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(home: Path) -> specs.Spec:
    return specs.load(home / "nexus.yaml")


def test_nothing_is_there_yet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(init.command, "--yes", "--name", "first") == 0
    spec = written(home)
    assert (spec.name, spec.teachers[0].source.train is not None) == ("first", True)
    assert "no model: the build will train a small teacher itself" in capsys.readouterr().out
    assert ran(check.command) == 0
    text = (home / "nexus.yaml").read_text(encoding="utf-8")
    assert text.count("# ") > 15, "it explains itself"
    assert max(map(len, text.splitlines())) <= 96


def test_what_is_there_is_taken(home: Path) -> None:
    model(home / "models" / "Small-LM")
    (home / "models" / "Small-LM" / "LICENSE").write_text("MIT License\n", encoding="utf-8")
    data(home / "data")
    assert ran(init.command, "--yes") == 0
    spec = written(home)
    assert set(spec.capabilities) == {"code", "reasoning"}
    assert spec.capabilities["code"].metric == "unit_tests"
    teacher = spec.teachers[0]
    assert (teacher.id, teacher.licence, teacher.load) == ("small-lm", "MIT", "fp32")
    assert set(teacher.capabilities) == {"code", "reasoning"}
    sums = spec.datasets["reasoning"]
    assert (sums.path, sums.prompt, sums.response) == ("data/sums.jsonl", "question", "answer")
    assert (sums.licence, sums.eval, sums.validation, sums.pilot) == ("CC-BY-4.0", 12, 3, 6)
    assert spec.datasets["code"].tests == "test_list"
    assert spec.licences is not None
    assert set(spec.licences.allow) == {"MIT", "CC-BY-4.0"}
    assert ran(check.command) == 0


def test_models_and_data_from_elsewhere(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    model(disk / "one")
    data(disk / "rows")
    given = ("--models", str(disk), "--data", str(disk / "rows"), "--yes")
    assert ran(init.command, "project", *given) == 0
    spec = specs.load(home / "project" / "nexus.yaml")
    assert spec.teachers[0].source.path == (disk / "one").as_posix()
    assert spec.datasets["code"].path == (disk / "rows" / "code.jsonl").as_posix()
    assert ran(check.command, "-f", "project") == 0


def test_a_folder_that_is_not_there_yet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(home / "data")
    assert ran(init.command, "new", "--yes") == 0
    assert specs.load(home / "new" / "nexus.yaml").datasets["word_problems"].sample
    assert ran(init.command, "other", "--data", "data", "--yes") == 0
    assert specs.load(home / "other" / "nexus.yaml").datasets["code"].path == "../data/code.jsonl"
    assert ran(init.command, "third", "--name", "no name", "--yes") == 2
    assert not (home / "third").exists(), "nothing is left behind"


def test_it_never_overwrites(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "nexus.yaml").write_text("mine\n", encoding="utf-8")
    assert ran(init.command, "--yes") == 2
    assert "nexus.yaml is there already and stays as it is" in capsys.readouterr().err
    assert (home / "nexus.yaml").read_text(encoding="utf-8") == "mine\n"
    (home / "nexus.yaml").unlink()
    (home / "nexus.yaml").symlink_to(home / "nowhere")
    assert ran(init.command, "--yes") == 2


def test_a_name_that_cannot_be(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(init.command, "--yes", "--name", "two words") == 2
    assert "allowed: a name of letters" in capsys.readouterr().err
    assert not (home / "nexus.yaml").exists()
    assert ran(init.command, "--models", "nowhere") == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_any_folder_has_a_name(tmp_path: Path) -> None:
    odd = tmp_path / "- my project (2) ü"
    odd.mkdir()
    assert ran(init.command, str(odd), "--yes") == 0
    assert specs.load(odd / "nexus.yaml").name == "my_project_2"


def test_what_cannot_teach_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(home / "m" / "encoder", architectures=["SiglipModel"])
    model(home / "m" / "huge", shape=(10**6, 10**6))
    model(home / "m" / "large", shape=(10**5, 8 * 10**4))
    small = Machine(ram=24 * 2**30, disk=100 * 2**30, vram=None)
    monkeypatch.setattr(init, "machine", lambda folder: small)
    assert ran(init.command, "--yes") == 0
    text = (home / "nexus.yaml").read_text(encoding="utf-8")
    assert "# left out: m/encoder: no text comes from a SiglipModel" in text
    assert "# left out: m/huge: too large for this machine in any format" in text
    large = next(teacher for teacher in written(home).teachers if teacher.id == "large")
    assert large.load == "bf16", "it is streamed"
    with_gpu = Machine(ram=24 * 2**30, disk=100 * 2**30, vram=16 * 2**30)
    monkeypatch.setattr(init, "machine", lambda folder: with_gpu)
    (home / "nexus.yaml").unlink()
    assert ran(init.command, "--yes") == 0
    spec = written(home)
    assert next(teacher for teacher in spec.teachers if teacher.id == "large").load == "int8"
    assert spec.hardware.vram == 16 * 2**30


def test_every_kind_of_text_can_be_learned(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not only what Nexus ships samplers for; and what is left out is said, with the reason."""
    model(home / "models" / "lm")
    folder = home / "data"
    for name, rows in {
        "tales": [{"prompt": f"Tell of {n}.", "response": "A tale."} for n in range(40)],
        "quiz": [{"Question": f"Who is {n}?", "Best Answer": "Nobody."} for n in range(40)],
        "more": [{"question": f"Who was {n}?", "answer": "Nobody at all."} for n in range(10)],
        "nested": [
            {"instruction": f"Do {n}", "instances": [{"input": "", "output": "done"}]}
            for n in range(40)
        ],
    }.items():
        (folder / name).mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / "rows.jsonl").write_text(lines, encoding="utf-8")
    assert ran(init.command, "--yes") == 0
    spec = written(home)
    assert {name: one.metric for name, one in spec.capabilities.items()} == {
        "instruction-following": "rouge_l",
        "question-answering": "token_f1",
    }
    assert spec.datasets["instruction-following"].path == "data/tales/rows.jsonl"
    text = (home / "nexus.yaml").read_text(encoding="utf-8")
    missing = "data/nested/rows.jsonl: say which fields are `prompt` and `response`"
    assert f"  # left out: {missing}" in text
    assert "question-answering is learned from another file" in text
    assert "left out: say which fields" in capsys.readouterr().out
    assert ran(check.command) == 0


def test_tool_calls_are_what_is_wanted(home: Path) -> None:
    call = {"name": "timer", "arguments": {"minutes": 5}}
    (home / "data").mkdir()
    rows = [{"query": f"Set a timer, number {n}.", "tool_calls": [call]} for n in range(60)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (home / "data" / "train.jsonl").write_text(text, encoding="utf-8")
    assert ran(init.command, "--yes") == 0
    spec = written(home)
    assert spec.datasets["tools"].response == "tool_calls"
    assert spec.capabilities["tools"].metric == "json_equal"
    assert main(["data", "show", "tools"]) == 0


def test_a_student_is_not_much_larger_than_its_teachers(home: Path) -> None:
    data(home / "data")
    model(home / "models" / "lm", shape=(100, 1000))
    assert ran(init.command, "--yes") == 0
    assert written(home).student.backbone.hidden == 128
    (home / "nexus.yaml").unlink()
    model(home / "models" / "large", shape=(10_000, 10_000))
    assert ran(init.command, "--yes") == 0
    assert written(home).student.backbone.hidden == 256


def test_splits_leave_rows_to_train_on() -> None:
    assert splits(None) == splits(10**6) == {}
    for rows in (10, 100, 1440, 2879):
        assert sum(splits(rows).values()) < rows


def test_small_data_of_every_format_leaves_rows_to_train_on(home: Path) -> None:
    """The usual splits would take all of them: the build would end at its first target."""
    model(home / "models" / "lm")
    (home / "data").mkdir()
    rows = [{"task": f"Write f{n}.", "code": f"def f(): return {n}", "test": "assert f() + 1"}
            for n in range(164)]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (home / "data" / "code.jsonl.gz").write_bytes(gzip.compress(lines))
    table = "Question,Best Answer\n" + "".join(f"Who is {n}?,Nobody {n}\n" for n in range(817))
    (home / "data" / "quiz.csv").write_text(table, encoding="utf-8")
    assert ran(init.command, "--yes") == 0
    spec = written(home)
    for name in ("code", "question-answering"):
        assert main(["data", "show", name]) == 0
        assert spec.datasets[name].eval < 200
    text = (home / "nexus.yaml").read_text(encoding="utf-8")
    assert "what it teaches is a guess" in text


# On a terminal.


class Terminal:
    """A command on a pseudo-terminal: read until it asks, answer, read on."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.shown = ""
        self._read = 0
        self._own, theirs = pty.openpty()
        command = [sys.executable, "-m", "nexusbuild", "init", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

    def until(self, text: str) -> None:
        while (found := self.shown.find(text, self._read)) < 0:
            ready, _, _ = select.select([self._own], [], [], 60)
            assert ready, f"never said {text!r}: {self.shown}"
            self.shown += os.read(self._own, 4096).decode()
        self._read = found + len(text)

    def answer(self, text: str) -> None:
        os.write(self._own, text.encode() + b"\n")

    def ended(self) -> int:
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while chunk := os.read(self._own, 4096):
                self.shown += chunk.decode()
        os.close(self._own)
        return self._process.wait(timeout=60)


def test_questions_on_a_terminal(home: Path) -> None:
    model(home / "models" / "lm")
    data(home / "data")
    terminal = Terminal(home)
    terminal.until("Name of what is built")
    terminal.answer("not a name")
    terminal.until("Name of what is built")
    terminal.answer("asked")
    terminal.until("code.jsonl teaches (- for nothing) [code]:")
    terminal.answer("-")
    terminal.until("sums.jsonl teaches (- for nothing) [reasoning]:")
    terminal.answer("sums")
    terminal.until("its licence, as SPDX names it [CC-BY-4.0]:")
    terminal.answer("MIT")
    terminal.until("models/lm teaches (- for nothing) [sums]:")
    terminal.answer("sum")
    terminal.until("did you mean sums?")
    terminal.until("[sums]:")
    terminal.answer("")
    terminal.until("its licence, as SPDX names it [NOASSERTION]:")
    terminal.answer("Apache-2.0")
    assert terminal.ended() == 0, terminal.shown
    spec = written(home)
    assert spec.name == "asked"
    assert list(spec.capabilities) == ["sums"]
    assert spec.datasets["sums"].licence == "MIT"
    assert spec.teachers[0].licence == "Apache-2.0"


def test_an_end_of_answers_writes_nothing(home: Path) -> None:
    terminal = Terminal(home)
    terminal.until("Name of what is built")
    terminal.answer("\x04")
    assert terminal.ended() == 2
    assert "the answers ended early: nothing was written" in terminal.shown
    assert list(home.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(home: Path) -> None:
    command = [sys.executable, "-m", "nexusbuild", "init"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert written(home).name


def test_answers_that_nobody_is_asked_for() -> None:
    questions = Questions(asking=False)
    assert questions.name("?", "usual") == "usual"
    assert questions.names("?", ["a", "b"]) == ["a", "b"]
    assert questions.licence("?", None) == "NOASSERTION"


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    init.command.configure(parser)
    assert "examples:\n  nexusbuild init" in parser.format_help()
