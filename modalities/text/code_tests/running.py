"""Run candidates' code against tests: one confined runner, a fresh process for each candidate."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from modalities.text.code_tests import candidate_runner

FENCE = re.compile(r"```[ \t]*\w*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """What one candidate may use: seconds of CPU and of waiting, bytes of address space."""

    cpu_seconds: float = 1.0
    wall_seconds: float = 5.0
    memory_bytes: int = 512 << 20


def code_in(text: str) -> str:
    """The code of an answer: its first fenced block, or all of it where nothing is fenced."""
    fenced = FENCE.search(text)
    return fenced[1] if fenced else text


def run_candidates(
    cases: Sequence[tuple[str, list[str]]], limits: Limits | None = None
) -> list[str]:
    """For each (code, tests): `passed`, or why not (`failed: AssertionError`, `timeout`, ...).

    The runner is a bare Python that shares nothing with this process: no environment, no
    site-packages, an empty directory, and what confinement the kernel has. Raises RuntimeError
    where the runner itself cannot start.
    """
    outcomes: list[str] = []
    while len(outcomes) < len(cases):
        outcomes += _run(cases[len(outcomes) :], limits or Limits())
    return outcomes


def _run(cases: Sequence[tuple[str, list[str]]], limits: Limits) -> list[str]:
    """Outcomes of the first cases, one at least: a candidate that ends the runner has failed."""
    lines = [asdict(limits), *({"code": code, "tests": tests} for code, tests in cases)]
    with tempfile.TemporaryDirectory(prefix="candidates-") as empty:
        ended = subprocess.run(
            # Hashes are seeded, so that a set is walked in the same order every time.
            [sys.executable, "-s", "-S", "-B", "-c", inspect.getsource(candidate_runner)],
            input="\n".join(map(json.dumps, lines)).encode(),
            capture_output=True,
            cwd=empty,
            env={"PYTHONHASHSEED": "0"},
            timeout=60 + len(cases) * limits.wall_seconds,
            check=False,
        )
    ready, *outcomes = ended.stdout.decode(errors="replace").splitlines() or [""]
    if ready != candidate_runner.READY:
        raise RuntimeError(
            f"the candidate runner did not start (exit {ended.returncode}): "
            f"{ended.stderr.decode(errors='replace')[-500:]}"
        )
    return outcomes if len(outcomes) == len(cases) else [*outcomes, "failed: ended the runner"]
