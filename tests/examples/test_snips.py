"""The SNIPS example: its data is converted, and its spec runs once the data lies in place."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nexusbuild.plugins import Target
from targets.resolver import resolve

EXAMPLE = Path(__file__).parents[2] / "examples" / "snips"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "snips_tools" / "train.jsonl"

UTTERANCES = [
    {"data": [{"text": "play "}, {"text": "Blue", "entity": "track"}, {"text": " please"}]},
    {
        "data": [
            {"text": "play "},
            {"text": "Red", "entity": "track"},
            {"text": " or "},
            {"text": "Pink", "entity": "track"},
        ]
    },
]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    folder = tmp_path / "snips"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "dist", "build", ".*"))
    return folder


def test_annotated_utterances_become_rows(example: Path, tmp_path: Path) -> None:
    source = tmp_path / "benchmark" / "PlayMusic"
    source.mkdir(parents=True)
    text = json.dumps({"PlayMusic": UTTERANCES})
    (source / "train_PlayMusic_full.json").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(example / "prepare.py"), str(source.parent)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = (example / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["query"])
    assert rows == [
        {
            "query": "play Blue please",
            "tool_calls": [{"name": "PlayMusic", "arguments": {"track": "Blue"}}],
        },
        {
            "query": "play Red or Pink",
            "tool_calls": [{"name": "PlayMusic", "arguments": {"track": "Red"}}],
        },
    ]


def test_a_wrong_folder_is_said(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example / "prepare.py"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2 and "wrong folder" in done.stderr


def test_the_spec_resolves(example: Path) -> None:
    graph = resolve(example / "nexus.yaml", {})
    assert {"gate:tools", "gate:router", "bundle"} <= set(graph.targets)
    assert isinstance(graph["adapter:tools"], Target)


@pytest.mark.skipif(not SHARED.exists(), reason="the real utterances are not on this machine")
def test_real_utterances_make_a_data_set(example: Path, make_job, tmp_path: Path) -> None:
    from dataclasses import replace

    from modalities.json_files import read_json, read_rows
    from targets.dataset.work import build

    target = resolve(example / "nexus.yaml", {})["dataset:utterances"]
    job = replace(make_job(target.id, target.settings), sources={"data": SHARED})
    build(job)
    rows = read_json(job.out / "about.json")["rows"]
    assert rows["eval"] == 1000 and rows["train"] > 11_000
    kept_apart = {row["prompt"] for row in read_rows(job.out / "eval.jsonl")}
    assert not kept_apart & {row["prompt"] for row in read_rows(job.out / "train.jsonl")}
