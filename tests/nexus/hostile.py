"""Change a bundle, and make its manifest agree: what someone does who means harm."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nexus.manifest import with_seal

Change = Callable[[dict[str, Any]], object]


def put(bundle: Path, path: str, content: bytes, **fields: Any) -> None:
    """Write a file of the bundle and list it as it is now. fields: others of its entry."""
    (bundle / path).parent.mkdir(parents=True, exist_ok=True)
    (bundle / path).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()

    def enter(manifest: dict[str, Any]) -> None:
        before = manifest["files"].get(path, {})
        manifest["files"][path] = {**before, "sha256": digest, "bytes": len(content), **fields}

    edit_manifest(bundle, enter)


def edit(bundle: Path, path: str, change: Change) -> None:
    """Change a JSON file of the bundle, and list it as it is then."""
    content = json.loads((bundle / path).read_bytes())
    change(content)
    put(bundle, path, json.dumps(content).encode())


def edit_manifest(bundle: Path, change: Change) -> None:
    """Change the manifest and seal it again."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    (bundle / "manifest.json").write_bytes(with_seal(json.dumps(manifest).encode()))


def run_alone(
    code: str, *arguments: str, answers: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Python code in a process of its own. answers: its standard input."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], input=answers, capture_output=True, check=False
    )


@contextmanager
def most_memory(megabytes: int) -> Iterator[None]:
    """The `with` block must not take more memory than this, for however short; Linux counts it."""
    counts = Path("/proc/self/clear_refs")
    if not counts.exists():
        yield
        return
    counts.write_text("5")  # the peak is now what is in use
    before = _peak()
    yield
    assert _peak() - before < megabytes


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024
