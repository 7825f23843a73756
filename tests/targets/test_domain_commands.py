"""The commands that know the spec: check, schema, add."""

import json
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from nexusbuild.cli import main
from nexusbuild.plugins import Command
from targets.commands import add, check, schema

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")


def ran(command: Command, *arguments: str) -> int:
    """The exit code, as the engine finds the command and runs it."""
    return main([command.name, *arguments])


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nexus.yaml"
    path.write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def test_check(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(check.command) == 0
    said = capsys.readouterr()
    assert said.out == "nexus.yaml is in order: 3 teachers, 3 capabilities, 42 targets\n"
    assert said.err == ""


def test_check_from_a_folder_below_and_from_elsewhere(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (spec.parent / "below").mkdir()
    monkeypatch.chdir(spec.parent / "below")
    assert ran(check.command) == 0
    monkeypatch.chdir("/")
    capsys.readouterr()
    for words in (["check"], ["check", "--budget"], ["items", "code"], ["data", "show", "code"]):
        assert main([*words, "--json"]) == 2
        said = capsys.readouterr()
        assert "name the spec with -f PATH" in said.err
        assert json.loads(said.out)["exit_code"] == 2
    assert ran(check.command, "-f", str(spec.parent)) == 0


def test_check_lists_every_problem(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TINY.replace("seed: 7", "sede: 7").replace("quantize: int8", "quantize: int4")
    spec.write_text(text, encoding="utf-8")
    assert ran(check.command) == 2
    said = capsys.readouterr().err
    assert "nexus.yaml:7:1: sede: unknown field\n    7 | sede: 7\n      | ^^^^\n" in said
    assert "did you mean nf4?" in said
    assert said.endswith("2 problems found\n")


def test_check_for_machines(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(check.command, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 0
    assert (document["teachers"], document["targets"], document["errors"]) == (3, 42, [])
    spec.write_text(TINY.replace("seed: 7", "sede: 7"), encoding="utf-8")
    assert ran(check.command, "--json") == 2
    said = capsys.readouterr()
    assert said.err == ""
    (error,) = json.loads(said.out)["errors"]
    assert (error["line"], error["column"], error["message"]) == (7, 1, "unknown field")
    assert error["excerpt"] == {"text": "sede: 7", "column": 1, "length": 4}
    assert "did you mean seed?" in error["remedy"]


def test_check_finds_what_is_missing_and_what_does_not_fit(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TINY.replace("{sample: functions,", "{path: data/code.jsonl, licence: MIT,")
    text = text.replace(
        "\ncapabilities:\n",
        "  - id: giant\n    source: {hub: a/giant, revision: abcdef0}\n    parameters: 70B\n"
        "    licence: MIT\n    capabilities: [code]\n\ncapabilities:\n",
    )
    spec.write_text(text, encoding="utf-8")
    assert ran(check.command) == 2
    said = capsys.readouterr().err
    assert "nexus.yaml: data/code.jsonl is missing; dataset:functions reads it" in said
    assert "put the data there, or correct datasets.functions.path" in said
    assert "hardware.ram: teacher giant needs 79.2GB of memory, 4.0GB granted" in said
    assert said.count("teacher giant") == 1
    assert "would fit: load: int8" not in said


@pytest.mark.parametrize(("blocked", "code"), [({"dataset:functions"}, 2), (set(), 0)])
def test_check_minds_a_missing_source_only_where_it_is_needed(
    spec: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    blocked: set[str],
    code: int,
) -> None:
    text = TINY.replace("{sample: functions,", "{path: data/code.jsonl, licence: MIT,")
    spec.write_text(text, encoding="utf-8")
    monkeypatch.setattr(
        "targets.commands.check.blocked_targets", lambda asked: blocked if asked == spec else None
    )
    assert ran(check.command) == code
    said = capsys.readouterr()
    if code:
        assert "data/code.jsonl is missing; dataset:functions reads it" in said.err
    else:
        assert "note: data/code.jsonl is missing; what reads it has its result" in said.out


def test_check_says_when_the_store_would_outgrow_its_disk(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(TINY.replace("disk: 2GB", "disk: 1MB"), encoding="utf-8")
    assert ran(check.command) == 2
    said = capsys.readouterr().err
    assert "nexus.yaml: hardware.disk: the store comes to" in said and "1MB granted" in said


def test_a_command_that_cannot_be_loaded_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("check", "targets.commands.gone:command", "nexusbuild.commands")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: EntryPoints([broken]))
    assert main(["check"]) == 2
    assert "check: cannot be used: ModuleNotFoundError" in capsys.readouterr().err


def test_what_is_said_is_as_wide_as_the_terminal(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = "values: {tokenizer: {datasets: [functions]}}\n"
    spec.with_suffix(".lock").write_text(lock, encoding="utf-8")
    spec.write_text(TINY.replace("disk: 2GB", "disk: 1MB"), encoding="utf-8")
    monkeypatch.setattr("nexusbuild.show.terminal.columns", lambda stream: 50)
    assert ran(check.command) == 2
    said = capsys.readouterr()
    for text, beginning in ((said.out, "note: tokenizer"), (said.err, "nexus.yaml: hardware.disk")):
        assert text.startswith(beginning)
        lines = text.splitlines()
        assert len(lines) > 1 and max(map(len, lines)) <= 50


def test_check_reads_the_lock(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = "values: {tokenizer: {datasets: [functions]}}\n"
    spec.with_suffix(".lock").write_text(lock, encoding="utf-8")
    assert ran(check.command) == 0
    assert "note: tokenizer is pinned and was made without" in capsys.readouterr().out
    spec.with_suffix(".lock").write_text("values: [", encoding="utf-8")
    assert ran(check.command) == 2
    assert "nexus.lock: cannot be read" in capsys.readouterr().err


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(schema.command) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "nexus.yaml"


def test_add(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poems = ("capability", "verse", "--metric", "rouge_l", "--path", "poems.jsonl")
    assert ran(add.command, *poems, "--dataset", "poems", "--licence", "MIT", "--isolated") == 0
    (spec.parent / "models" / "Poet-1B").mkdir(parents=True)
    teacher = ("teacher", "models/Poet-1B/", "--capabilities", "verse", "--licence", "MIT")
    assert ran(add.command, *teacher, "--load", "bf16") == 0
    text = spec.read_text(encoding="utf-8")
    assert "  poems: {path: poems.jsonl, licence: MIT}\n" in text
    assert "  verse:\n    dataset: poems\n    metric: rouge_l\n    isolated: true\n" in text
    assert (
        "\n\n  - id: poet-1b\n    source: {path: models/Poet-1B}\n    licence: MIT\n"
        "    load: bf16\n    capabilities: [verse]\n\ncapabilities:\n"
    ) in text
    assert "include: [reasoning, tools, code, verse]" in text
    assert capsys.readouterr().out == (
        "added the capability verse and its data set poems to nexus.yaml; "
        "nexusbuild --dry-run shows what that means\n"
        "added the teacher poet-1b to nexus.yaml; nexusbuild --dry-run shows what that means\n"
    )
    (spec.parent / "poems.jsonl").touch()
    assert ran(check.command) == 0


def test_add_says_what_a_path_that_leads_nowhere_may_mean(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    licence = ("--capabilities", "code", "--licence", "MIT")
    assert ran(add.command, "teacher", "Qwen/Qwen3-8B", *licence) == 0
    note = (
        "note: Qwen/Qwen3-8B is not there yet: put the model's folder there; if a model of the hub"
    )
    assert note in capsys.readouterr().out
    hub = ("teacher", "Qwen/Qwen3-4B", "--revision", "abcdef0", "--parameters", "4B")
    assert ran(add.command, *hub, *licence) == 0
    assert "note" not in capsys.readouterr().out


def test_add_takes_the_licence_that_the_folder_states(spec: Path) -> None:
    folder = spec.parent / "models" / "open"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (folder / "LICENSE").write_text("MIT License\n\nCopyright ...\n", encoding="utf-8")
    assert ran(add.command, "teacher", "models/open", "--capabilities", "code") == 0
    assert "source: {path: models/open}\n    licence: MIT\n" in spec.read_text(encoding="utf-8")


def test_add_to_a_file_that_has_mistakes_already(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(TINY.replace("seed: 7", "sede: 7"), encoding="utf-8")
    teacher = ("teacher", "m", "--licence", "MIT", "--capabilities")
    assert ran(add.command, *teacher, "code") == 0
    assert ran(add.command, *teacher, "poems", "--id", "other") == 2
    said = capsys.readouterr().err
    assert "no such capability" in said
    assert "sede" not in said, "what was wrong before is not this edit's doing"


def test_add_what_can_only_be_declared(spec: Path) -> None:
    given = (
        "capability",
        "voice",
        "--metric",
        "word_error_rate",
        "--path",
        "v",
        "--licence",
        "MIT",
    )
    assert ran(add.command, *given, "--modality", "text-to-speech") == 0
    assert ran(add.command, "teacher", "m", "--licence", "MIT", "--capabilities", "voice") == 0
    text = spec.read_text(encoding="utf-8")
    assert "modality: text-to-speech" in text
    assert "include: [reasoning, tools, code]" in text, "what has no trainer does not ship"


def test_add_from_the_hub(spec: Path) -> None:
    teacher = ("teacher", "Qwen/Qwen3-8B", "--revision", "abcdef0", "--licence", "MIT")
    assert ran(add.command, *teacher, "--capabilities", "code,tools", "--id", "big") == 2
    teacher = (*teacher, "--parameters", "8B")
    assert ran(add.command, *teacher, "--capabilities", "code,tools", "--id", "big") == 0
    text = spec.read_text(encoding="utf-8")
    assert "source: {hub: Qwen/Qwen3-8B, revision: abcdef0}" in text
    assert "parameters: 8B" in text
    assert "capabilities: [code, tools]" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("teacher", "m", "--capabilities", "cod", "--licence", "MIT"), "did you mean code?"),
        (("teacher", "m", "--capabilities", "code"), "names no licence"),
        (("teacher", "m", "--id", "coder", "--capabilities", "code"), "two teachers have the id"),
        (("capability", "code", "--metric", "rouge_l"), "capabilities.code is there already"),
        (("capability", "x", "--metric", "rouge_l"), 'no such data set: "x"'),
    ],
)
def test_what_would_be_wrong_is_not_written(
    spec: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert ran(add.command, *arguments) == 2
    assert said in capsys.readouterr().err
    assert spec.read_text(encoding="utf-8") == TINY
    assert [path.name for path in spec.parent.iterdir()] == ["nexus.yaml"]


def test_what_is_not_there_is_said_without_numbers(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "No such file or directory"
    for words, said in (
        (["import", "teachers", "no.csv"], f"no.csv: {nowhere}"),
        (["import", "teachers", "."], ".: Is a directory"),
        (["add", "teacher", "m", "--capabilities", "code", "-f", "no.yaml"], f"no.yaml: {nowhere}"),
    ):
        assert main(words) == 2
        assert capsys.readouterr().err == f"{said}\n"


def test_a_folder_that_was_deleted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["data", "sort", "raw"]) == 2
    assert capsys.readouterr().err.startswith("the folder that you are in was deleted\n")
