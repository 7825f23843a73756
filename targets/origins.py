"""How a person gets what is not on the disk, by where the spec says that it can be had."""

from __future__ import annotations

import re

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def how_to_fetch(origin: str, *, data: bool = False) -> str:
    """OWNER/NAME is one of the hub's, for which there is a command; all else is an address. In it
    `{path}` stands for where it belongs, as in every source's remedy.
    """
    if HUB_NAME.fullmatch(origin):
        kind = " --repo-type dataset" if data else ""
        return f"fetch it: hf download {origin}{kind} --local-dir {{path}}"
    return f"fetch it from {origin} and put it there"
