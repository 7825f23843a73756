"""The resolver asks the disk through SpecFolder alone, so that its graph can be kept.

Whatever else it read would not be noticed when it changes, and a stale graph would be used.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_resolver import TINY, edited, with_verse

from nexusbuild.plugins import SpecFolder
from targets.resolver import resolve


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Paths below `tmp_path` that anything but SpecFolder opens, lists or asks the stat of."""
    found: list[str] = []
    inside: list[bool] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def watching(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            if isinstance(path, (str, os.PathLike)) and not inside:
                place = str(Path.cwd() / os.fspath(path))
                if place.startswith(str(tmp_path)):
                    found.append(os.path.relpath(place, tmp_path))
            return function(path, *arguments, **options)

        return watching

    answer = SpecFolder._answer

    def answering(self: SpecFolder, question: str, path: str) -> Any:
        inside.append(True)
        try:
            return answer(self, question, path)
        finally:
            inside.pop()

    monkeypatch.setattr(SpecFolder, "_answer", answering)
    for name in ("stat", "lstat", "scandir", "listdir", "readlink", "open"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    monkeypatch.setattr(io, "open", watched(io.open))
    monkeypatch.setattr(builtins, "open", io.open)
    return found


def test_all_that_it_sees_is_declared(tmp_path: Path, looked_at: list[str]) -> None:
    (tmp_path / "models/poet").mkdir(parents=True)
    (tmp_path / "models/poet/model.safetensors").write_bytes(b"12345678")
    (tmp_path / "poems.jsonl").write_text("{}\n")
    text = edited(
        with_verse(TINY), "poems.jsonl", "poem*.jsonl", "rouge_l}", "rouge_l, isolated: true}"
    )
    spec = tmp_path / "nexus.yaml"
    spec.write_text(text)
    looked_at.clear()
    graph = resolve(spec, {})
    assert set(looked_at) <= {"nexus.yaml", "."}, "ask through SpecFolder, so that it is noticed"
    assert looked_at, "the watch does not watch"
    assert graph.seen is not None
    assert {(each.question, each.path) for each in graph.seen} >= {
        ("files", "poem*.jsonl"),
        ("files", "models/poet/model*.safetensors"),
        ("real_path", "poems.jsonl"),
    }
    assert all(each.holds() for each in graph.seen)
