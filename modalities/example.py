"""One row of a data set before it is written: what is read, what is answered, where it belongs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """One row. prompt: the text that is read. answer: the reference. tests: what the answer passes.
    structure: the combinations that it is made of, joined by `|`. parts: what is read besides
    text, medium -> JSON value, large payloads as file names by digest. group: rows of one group
    (a speaker, a source picture) stand on one side of every split.
    """

    prompt: str
    answer: str
    tests: tuple[str, ...] = ()
    structure: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def content(self) -> str:
        """What it reads besides text, as one text; empty where it reads text alone."""
        return json.dumps(sorted(self.parts.items())) if self.parts else ""

    @property
    def id(self) -> str:
        """Sixteen hex digits over what is read: the text, and the parts by their content."""
        return hashlib.sha256((self.prompt + self.content).encode()).hexdigest()[:16]

    @property
    def source(self) -> str:
        """What it shares with its group: the group's name, else the content of its parts; empty
        where it stands alone.
        """
        return f"group {self.group}" if self.group else self.content
