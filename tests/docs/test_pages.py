"""The pages: every link leads somewhere, every page is found, the reference is up to date."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml
from pages import PAGES, ROOT, anchors, code_blocks, links

from nexusbuild.command import command_names
from nexusbuild.commands.reference import reference


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_can_be_read(page: Path) -> None:
    for block in code_blocks(page, "python"):
        ast.parse(block)
    for block in code_blocks(page, "yaml"):
        assert yaml.safe_load(block)
    for block in code_blocks(page, "json"):
        assert json.loads(block)


def test_every_page_is_found_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert linked >= {page for page in PAGES if page.parent == index.parent and page != index}
    assert index in {
        (ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")
    }


def test_the_reference_of_commands_is_up_to_date() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == reference().rstrip() + "\n", (
        "run: python -m nexusbuild.commands.reference > docs/commands.md"
    )


def test_every_command_has_usage_examples_and_exit_codes() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0].split()[-1]: part for part in page.split("\n## ")[1:]}
    names = ["nexusbuild" if name == "build" else name for name in command_names()]
    assert sorted(sections) == sorted(names)
    for name, section in sections.items():
        assert "Examples:" in section, name
        assert "Ends with" in section, name
        assert "```\nnexusbuild" in section, name
