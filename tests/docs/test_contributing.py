"""CONTRIBUTING.md, followed word by word: its kind of target is added to a copy and built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pages import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGES = ("modalities", "nexus", "nexusbuild", "opened_models", "raw_data", "samplers", "specs",
            "targets", "training")  # fmt: skip


def blocks(heading: str) -> list[str]:
    """The Python below a heading of the page, in order."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^   ```python\n(.*?)^   ```", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


def test_a_kind_of_target_is_added(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "tests" / "targets").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "tests" / "tiny.yaml", tmp_path / "nexus.yaml")

    work, declaration, test = blocks("Add a kind of target")
    kind = tmp_path / "targets" / "lengths"
    kind.mkdir()
    (kind / "__init__.py").write_text('"""How long answers are."""\n')
    for path, text in (
        ("targets/lengths/work.py", work),
        ("targets/lengths/target.py", declaration),
        ("tests/targets/test_lengths.py", test),
    ):
        assert f"`{path}`" in TEXT
        (tmp_path / path).write_text(text, encoding="utf-8")
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    run(tmp_path, "-m", "nexusbuild", "lengths:word_problems")
    (made,) = tmp_path.glob("build/lengths/word_problems/lengths.json")
    assert sum(json.loads(made.read_text()).values()) > 100
    assert "fresh" in run(tmp_path, "-m", "nexusbuild", "lengths:word_problems", "-n")
    assert "seed = 7" in run(tmp_path, "-m", "nexusbuild", "why", "lengths:word_problems")


def run(folder: Path, *words: str) -> str:
    """What a Python in the copy says; it must end with 0."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
