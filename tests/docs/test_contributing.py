"""CONTRIBUTING.md, followed word by word: what it adds is added to a copy, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text below a heading of the page."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def blocks(heading: str) -> list[str]:
    """The Python below a heading, in order."""
    found = re.findall(r"^   ```python\n(.*?)^   ```", section(heading), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the tiny spec, and no tests but what they share."""
    for package in ROOT.iterdir():
        if (package / "__init__.py").exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, tmp_path / package.name, ignore=ignored)
    (tmp_path / "tests" / "targets").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "tests" / "tiny.yaml", tmp_path / "nexus.yaml")
    return tmp_path


def add(project: Path, heading: str, files: dict[str, str]) -> None:
    """Write files, each of which the section names."""
    for path, text in files.items():
        assert f"`{path}`" in section(heading)
        (project / path).write_text(text, encoding="utf-8")


def in_spec(project: Path, old: str, new: str) -> None:
    spec = project / "nexus.yaml"
    text = spec.read_text(encoding="utf-8")
    assert old in text
    spec.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_metric_is_added(project: Path) -> None:
    module, test = blocks("Add a metric")
    files = {"modalities/text/metrics/mentions.py": module, "tests/targets/test_mentions.py": test}
    add(project, "Add a metric", files)
    run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "`metric: mentions`" in section("Add a metric")
    in_spec(project, "metric: rouge_l", "metric: mentions")
    run(project, "-m", "nexusbuild", "check")
    in_spec(project, "metric: mentions", "metric: mention")
    ended = subprocess_of(project, "-m", "nexusbuild", "check")
    assert ended.returncode == 2 and "did you mean mentions?" in ended.stderr


def test_a_sampler_is_added(project: Path) -> None:
    module, test = blocks("Add a sampler")
    add(project, "Add a sampler", {"samplers/sums.py": module, "tests/targets/test_sums.py": test})
    run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    line = re.search(r"^```yaml\n(.*?)^```", section("Add a sampler"), re.MULTILINE | re.DOTALL)
    assert line is not None
    in_spec(project, "datasets:\n", f"datasets:\n{line[1]}")
    assert " + " in run(project, "-m", "nexusbuild", "data", "show", "sums")


def test_a_kind_of_target_is_added(project: Path) -> None:
    work, declaration, test = blocks("Add a kind of target")
    kind = project / "targets" / "lengths"
    kind.mkdir()
    (kind / "__init__.py").write_text('"""How long answers are."""\n')
    files = {
        "targets/lengths/work.py": work,
        "targets/lengths/target.py": declaration,
        "tests/targets/test_lengths.py": test,
    }
    add(project, "Add a kind of target", files)
    run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    run(project, "-m", "nexusbuild", "lengths:word_problems")
    (made,) = project.glob("build/lengths/word_problems/lengths.json")
    assert sum(json.loads(made.read_text()).values()) > 100
    assert "fresh" in run(project, "-m", "nexusbuild", "lengths:word_problems", "-n")
    assert "seed = 7" in run(project, "-m", "nexusbuild", "why", "lengths:word_problems")


def run(folder: Path, *words: str) -> str:
    """What a Python in the copy says; it must end with 0."""
    done = subprocess_of(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def subprocess_of(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_a_medium_is_added() -> None:
    """The page shows the room in `tests/toy_room`, which another test builds, file by file."""
    room = ROOT / "tests" / "toy_room"
    shown = re.findall(
        r"^   ```(?:python|ini)\n(.*?)^   ```", section("Add a medium"), re.MULTILINE | re.DOTALL
    )
    pages = {re.sub(r"^   ", "", block, flags=re.MULTILINE).strip() for block in shown}
    files = [
        file for file in room.rglob("*") if file.suffix in (".py", ".txt") and file.stat().st_size
    ]
    held = {file.read_text(encoding="utf-8").strip() for file in files if file.stem != "__init__"}
    assert pages == held
