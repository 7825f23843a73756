"""One build of the tiny spec per session; every scenario works on a copy of its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.folder import TINY, nexusbuild


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "nexus.yaml").write_text(TINY, encoding="utf-8")
    code, text = nexusbuild(folder, "--json")
    document = json.loads(text)
    assert code == document["exit_code"] == 0
    assert {target["state"] for target in document["targets"]} == {"built"}
    return folder


@pytest.fixture
def project(first_build: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(first_build, folder, symlinks=True)
    return folder
