"""The manifest knows the inputs of a bundle by the digests that the builder's record has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexusbuild.digest.digests import hash_file
from nexusbuild.rule.record import Output, outputs_digest
from targets.bundle.work import input_digest


@pytest.mark.parametrize("names", [["one.json"], ["b.json", "a/deep.json", "ä.json"]])
def test_digests_are_the_builders(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    outputs = [Output(name, hash_file(tmp_path / name), 0) for name in names]
    assert input_digest(tmp_path) == outputs_digest(outputs)
    if len(names) == 1:
        assert input_digest(tmp_path / names[0]) == outputs_digest(outputs)
