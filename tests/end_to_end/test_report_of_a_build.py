"""The report of a real build: every section has what the kinds wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.end_to_end.folder import edit, nexusbuild

TEACHERS = {"reasoning": "scholar", "tools": "operator", "code": "coder"}


def report(folder: Path) -> str:
    code, text = nexusbuild(folder, "report", "--json")
    assert code == 0
    return Path(json.loads(text)["report"]).read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    """A section's own HTML."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    assert found is not None, name
    return found[1]


def test_every_section_is_filled(project: Path) -> None:
    page = report(project)
    assert "✓ All 4 contracts met." in page
    assert "Nothing: all" in section(page, "stale")
    for capability, teacher in TEACHERS.items():
        assert f"teacher {teacher}" in section(page, "retention")
        assert re.search(rf"<summary>{capability}: [\d,]+ lost, ", section(page, "lost"))
        assert f"<h3>adapter:{capability}</h3>" in section(page, "training")
        assert f"<b>{teacher}/{capability}</b>" in section(page, "profiles")
        assert f"<td>{capability}_adapter</td>" in section(page, "sizes")
    assert section(page, "retention").count("<svg") == 4
    assert section(page, "training").count("<figure>") >= 3 + 1 + 3
    assert section(page, "profiles").count("<figure>") == 3 * len(TEACHERS)
    targets = json.loads(nexusbuild(project, "ls", "--json")[1])["targets"]
    assert section(page, "graph").count('class="node fresh"') == len(targets)
    for target in targets:
        assert f"<code>{target['id']}</code>" in section(page, "time")


def test_an_edit_shows_before_it_is_built(project: Path) -> None:
    edit(project, "code: {retain_fraction: 0.01}", "code: {retain_fraction: 0.02}")
    page = report(project)
    assert "contracts.code.retain_fraction: 0.01 -&gt; 0.02" in section(page, "stale")
    assert "gate:code is stale by now" in section(page, "retention")
    assert section(page, "graph").count('class="node stale"') == 2
