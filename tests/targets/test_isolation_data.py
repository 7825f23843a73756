"""Data of an isolated capability stay its own, under whatever name they lie on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_isolation_teachers import ISOLATED
from test_resolver import Folder, edited

from nexusbuild.plugins import ResolveError

ROWS = "".join(
    f'{{"prompt": "{number}", "response": "zanzibar {number}"}}\n' for number in range(99)
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "poems.jsonl").write_text(ROWS)
    return Folder(tmp_path)


def reads(path: str) -> str:
    return edited(ISOLATED, "{sample: functions,", f'{{path: "{path}", licence: MIT,')


def refused(folder: Folder, text: str) -> str:
    with pytest.raises(ResolveError) as raised:
        folder.resolved(text, {})
    assert raised.value.problems[0].field == "datasets.functions.path"
    return raised.value.problems[0].message


@pytest.mark.parametrize("place", [shutil.copy, os.link], ids=["a copy", "a hard link"])
@pytest.mark.parametrize("path", ["other.jsonl", "more/*.jsonl", "more"])
def test_a_copy_under_another_name(
    folder: Folder, tmp_path: Path, place: Callable[[Path, Path], object], path: str
) -> None:
    (tmp_path / "more/deep").mkdir(parents=True)
    (tmp_path / "more/harmless.jsonl").write_text(ROWS[:-1])
    if path == "more":
        copy = tmp_path / "more/deep/x.jsonl"
    else:
        copy = tmp_path / path.replace("*", "x")
    place(tmp_path / "poems.jsonl", copy)
    message = refused(folder, reads(path))
    assert "dataset:functions reads" in message and "a copy of data of the isolated" in message
    assert '"verse" (dataset:poems)' in message


def test_a_part_of_a_folder(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    shutil.move(tmp_path / "poems.jsonl", tmp_path / "secret/one.jsonl")
    (tmp_path / "other.jsonl").write_text(ROWS)
    text = edited(reads("other.jsonl"), "path: poems.jsonl", "path: secret")
    assert "reads other.jsonl, a copy" in refused(folder, text)


def test_other_data_of_the_same_size(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(ROWS.replace("zanzibar 50", "zanzibaz 50"))
    graph = folder.resolved(reads("other.jsonl"), {})
    assert graph.seen is not None and all(each.holds() for each in graph.seen)
    (tmp_path / "other.jsonl").write_text(ROWS)
    assert not all(each.holds() for each in graph.seen)


def test_empty_files_are_nobody_s(folder: Folder, tmp_path: Path) -> None:
    for name in ("poems.jsonl", "other.jsonl"):
        (tmp_path / name).write_text("")
    folder.resolved(reads("other.jsonl"), {})
