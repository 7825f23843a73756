"""How a person gets what is not on the disk, by where the spec says that it can be had."""

from __future__ import annotations

import re
import shlex

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def how_to_fetch(origin: str, where: str, *, data: bool = False) -> str:
    """OWNER/NAME is one of the hub's, for which there is a command; all else is an address."""
    if HUB_NAME.fullmatch(origin):
        kind = " --repo-type dataset" if data else ""
        return f"fetch it: hf download {origin}{kind} --local-dir {shlex.quote(where)}"
    return f"fetch it from {origin} and put it there"
