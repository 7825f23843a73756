"""What `pip install --editable` makes of the project, as the Makefile installs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_script_beside_a_clone_called_nexus_finds_the_package(tmp_path: Path) -> None:
    clone, site = tmp_path / "nexus", tmp_path / "site"
    shutil.copytree(ROOT / "nexus", clone / "nexus", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone)
    python(
        "-c", "from setuptools import build_meta; build_meta.build_editable('..')", folder=clone
    )  # PEP 660: what pip calls
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(site)
    script = tmp_path / "ask.py"
    script.write_text(
        "import importlib.util, site\n"
        f"site.addsitedir({str(site)!r})\n"
        "print(importlib.util.find_spec('nexus').origin)\n"
    )
    # -S: no other installation of the project is found.
    assert python("-S", str(script), folder=tmp_path) == str(clone / "nexus" / "__init__.py")


def python(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
