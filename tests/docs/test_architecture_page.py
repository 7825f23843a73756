"""The page on architecture: its picture of the packages is true, and the files on it are there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grimp
from pages import ROOT, code_blocks

PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = (
    "modalities", "nexus", "nexusbuild", "opened_models", "raw_data", "samplers", "specs",
    "targets", "training",
)  # fmt: skip


def arrows() -> Iterator[tuple[str, str]]:
    """The pairs of packages that an arrow of the picture joins, dotted ones aside."""
    for block in code_blocks(PAGE, "mermaid"):
        yield from re.findall(r"(\w+) --> (\w+)", block)


def imports() -> set[tuple[str, str]]:
    """The pairs of packages of which one imports the other when it runs."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    pairs = {
        (module.partition(".")[0], imported.partition(".")[0])
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(one, other) for one, other in pairs if one != other}


def test_every_arrow_is_an_import_and_every_import_an_arrow() -> None:
    assert sorted(arrows()) == sorted(imports())


def test_every_file_that_is_named_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(rf"(?<![\w/])(?:{'|'.join(PACKAGES)})/[\w/]+\.\w+", text))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
