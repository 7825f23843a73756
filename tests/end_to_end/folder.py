"""A project's folder, and `nexusbuild` run in it as a person would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TINY = (ROOT / "tests" / "tiny.yaml").read_text(encoding="utf-8")

SECOND_READER = """
  - id: reader
    source:
      train:
        family: qwen2
        hidden: 64
        layers: 2
        heads: 4
        intermediate: 128
        steps: 40
        batch: 16
        tokenizer: {kind: bpe, vocab: 300}
    licence: MIT
    capabilities: [REPLACE]

capabilities:"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`nexusbuild`, run in `folder` as a person would."""
    done = subprocess.run(
        [sys.executable, "-m", "nexusbuild", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def nexusbuild(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output."""
    done = run(folder, *arguments)
    return done.returncode, done.stdout


def states(folder: Path, *arguments: str) -> dict[str, str]:
    """Target -> state, as the JSON of a build or a dry run says."""
    _, text = nexusbuild(folder, "--json", *arguments)
    return {target["id"]: target["state"] for target in json.loads(text)["targets"]}


def built(folder: Path, *arguments: str) -> set[str]:
    """The targets that a build ran."""
    found = states(folder, *arguments)
    assert "failed" not in found.values(), found
    return {target for target, state in found.items() if state in ("built", "skipped")}


def edit(folder: Path, old: str, new: str, name: str = "nexus.yaml") -> None:
    file = folder / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def refused(folder: Path, *arguments: str) -> str:
    """What is said on standard error by a command that ends with 2."""
    done = run(folder, *arguments)
    assert done.returncode == 2 and not done.stdout, done.stdout
    return done.stderr


def chain(capability: str) -> set[str]:
    kinds = ("architecture", "adapter", "pack", "score", "gate")
    return {f"{kind}:{capability}" for kind in kinds}


def digests_below(folder: Path) -> dict[str, Any]:
    """Relative path -> bytes of every file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
