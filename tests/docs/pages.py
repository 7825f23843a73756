"""The pages that people read, and the commands in them.

A block fenced as ```sh holds commands. A line of HTML comment right above it says what a test
cannot guess: `<!-- not run: WHY -->` (its commands are only parsed) or `<!-- exit code N -->`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*/README.md"),
    ]
)
_BLOCK = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MARK = re.compile(r"<!-- (not run: \S.*|exit code \d+) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """One block of shell. mark: what the comment above it says."""

    page: Path
    line: int
    commands: tuple[str, ...]
    mark: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def shell_blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that are commands, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if found[2] == "sh":
            line = text.count("\n", 0, found.start()) + 1
            mark = _MARK.search(text[: found.start()])
            yield Block(page, line, tuple(_commands(found[3])), mark[1] if mark else "")


def code_blocks(page: Path, language: str) -> Iterator[str]:
    """The blocks of a page in a language, without the indentation that they stand in."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found[2] == language:
            yield textwrap.dedent(found[3])


def examples(page: Path) -> Iterator[str]:
    """The commands in blocks without a language, of which each line is one and what it is for."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found[2] == "":
            for line in found[3].replace("\\\n", " ").splitlines():
                line = re.sub(r"^\$ |\s+#.*$", "", re.sub(r" +\\?$", "", line))
                if re.match(r"nexus(build)?( |$)", line) and "[option" not in line:
                    yield re.split(r"(?<=\S) {2,}(?=\S)", re.sub(r" {2,}(?=--)", " ", line))[0]


def spans(page: Path) -> Iterator[str]:
    """The commands within sentences: `nexusbuild why TARGET`."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for span in re.findall(r"`([^`]+)`", text):
        words = " ".join(span.split())
        if re.match(r"nexus(build)? \S", words):
            yield words


def _commands(block: str) -> Iterator[str]:
    for line in block.replace("\\\n", " ").splitlines():
        command = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if command:
            yield command


def links(page: Path) -> Iterator[str]:
    """Where its links lead, those in blocks of code aside."""
    text = page.read_text(encoding="utf-8")
    yield from _LINK.findall(re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", text)))


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found
