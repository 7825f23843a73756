"""`nexusbuild data show`: the rows of a data set as the build sees them, before any build."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from modalities.json_files import read_json, read_rows
from nexusbuild.cli import main
from nexusbuild.digest.keys import seed_of
from nexusbuild.plugins import Job
from targets.commands import data_show
from targets.dataset.work import build

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")
SUMS = (
    "  sums: {path: 'sum?.csv', prompt: '{0} {1}', response: '2', licence: MIT, stop: [STOP],\n"
    '         eval: 6, validation: 4, pilot: 3, template: "Q: {prompt}\\nA:"}\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with a data set of its own, in the current folder."""
    monkeypatch.chdir(tmp_path)
    text = TINY.replace("\nteachers:", f"{SUMS}\nteachers:", 1)
    (tmp_path / "nexus.yaml").write_text(text, encoding="utf-8")
    lines = [f"{n} and,{n + 1},{2 * n + 1}" for n in range(60)]
    lines += ["3 and,4,7", "8 and,9,"]
    (tmp_path / "sums.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["data", "show", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_rows_are_those_of_the_build(
    folder: Path, capsys: pytest.CaptureFixture[str], make_job: Any
) -> None:
    told = shown(capsys, "sums", "--rows", "99")
    settings = {
        "prompt": "{0} {1}", "response": "2", "stop": ["STOP"],
        "eval": 6, "validation": 4, "pilot": 3, "template": "Q: {prompt}\nA:",
    }  # fmt: skip
    job: Job = dataclasses.replace(
        make_job("dataset:sums", settings),
        sources={"data": folder / "sums.csv"},
        seed=seed_of(7, "dataset:sums"),
    )
    build(job)
    for split, rows in told["examples"].items():
        built = read_rows(job.out / f"{split}.jsonl")
        assert [{k: v for k, v in row.items() if k != "seen"} for row in rows] == built
    about = read_json(job.out / "about.json")
    for key in ("rows", "dropped", "near_duplicates", "origin"):
        assert told[key] == about[key]
    first = told["examples"]["eval"][0]
    assert first["seen"] == f"Q: {first['prompt']}\nA:"
    assert not list(folder.glob(".nexus*"))


def test_a_person_reads_it_in_eighty_columns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "show", "sums"]) == 0
    told = capsys.readouterr().out
    assert "sums: 60 rows from sums.csv (62)" in told
    assert "train 47, pilot 3, validation 4, eval 6" in told
    assert "dropped: 2 rows" in told and "1 duplicate prompt: sums.csv:61" in told
    assert "prompt:  Q: " in told and "-- eval, 1 of 6 ---" in told
    assert main(["data", "show", "word_problems", "--split", "eval"]) == 0
    told += capsys.readouterr().out
    assert "by the sampler word_problems" in told and "near-duplicates:" in told
    assert max(map(len, told.splitlines())) <= 80


def test_of_a_large_file_the_beginning_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_show, "LARGE_BYTES", 100)
    monkeypatch.setattr(data_show, "FIRST_RECORDS", 4)
    told = shown(capsys, "sums")
    assert told["first_records_only"] == 30 and sum(told["rows"].values()) == 30
    assert main(["data", "show", "sums"]) == 0
    assert "(of the first 30 records; --all reads the rest)" in capsys.readouterr().out
    assert sum(shown(capsys, "sums", "--all")["rows"].values()) == 60


def test_what_is_wrong_is_told_with_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "show", "sum"]) == 2
    assert "did you mean sums?" in capsys.readouterr().err
    with (folder / "sums.csv").open("a", encoding="utf-8") as file:
        file.write("1,2\n")
    assert main(["data", "show", "sums"]) == 2
    assert "sums.csv:63: not as many cells as the first row has cells (3)" in (
        capsys.readouterr().err
    )
    (folder / "sums.csv").unlink()
    assert main(["data", "show", "sums", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["message"].startswith("sum?.csv is missing; put the data there")
