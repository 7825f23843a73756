"""Toy projects, each in a folder of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import Toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


@pytest.fixture
def chain(toy: Toy) -> Toy:
    """data -> a -> b -> gate -> release, and other, which reads one fixed file of data."""
    declare_chain(toy)
    return toy


@pytest.fixture(scope="session")
def chain_once_built(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The chain, built; only ever copied."""
    toy = Toy(tmp_path_factory.mktemp("chain"))
    declare_chain(toy)
    toy.build()
    return toy


@pytest.fixture
def built(chain_once_built: Toy, tmp_path: Path) -> Toy:
    """A built chain of one's own."""
    return chain_once_built.copied(tmp_path / "copy")


@pytest.fixture(scope="module")
def folder_in_memory() -> Iterator[Path]:
    """A folder where waiting for the disk costs nothing, if the machine has such a place."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="nexusbuild-", dir=memory if usable else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def declare_chain(toy: Toy) -> None:
    toy.write("words.txt", "some words")
    toy.spec["targets"] = {
        "data:words": {"sources": {"words": "words.txt"}, "settings": {"fixed": "x"}},
        "step:a": {
            "inputs": {"data": "data:words"},
            "settings": {"train": {"steps": 3, "fast": True}},
        },
        "step:b": {"inputs": {"a": "step:a"}},
        "other": {"inputs": {"fixed": "data:words#fixed.txt"}},
        "gate:b": {
            "work": "toy.works:judge",
            "inputs": {"b": "step:b#out.txt"},
            "settings": {"at_least": 5},
            "verdict": "verdict.json",
        },
        "release": {
            "work": "toy.works:release",
            "inputs": {"b": "step:b", "gate": "gate:b"},
            "settings": {"name": "product"},
            "release": True,
        },
    }
    toy.save()
