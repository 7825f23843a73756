"""A model as people name it in a table: `Qwen3-8B`, `Qwen/Qwen3-8B`, an address, a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from targets.declaring.sources import HUB_NAME

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([^/]+/[^/?#]+)", re.IGNORECASE)
_OF_WINDOWS = re.compile(r"[A-Za-z]:|.*\\")


@dataclass(frozen=True)
class NamedModel:
    """name: the model's own. owner: whose it is; empty where nobody said. origin: where it can be
    had. folder: where it lies, if the table says so and it can lie there on this machine.
    """

    name: str
    owner: str = ""
    origin: str = ""
    folder: Path | None = None


def named_model(written: str) -> NamedModel:
    """What a table means by a model's name."""
    written = written.strip()
    if _ADDRESS.match(written):
        hub = _HUB.match(written)
        if hub:
            return named_model(hub[1])
        return NamedModel(PurePosixPath(written).name, origin=written)
    if _OF_WINDOWS.match(written):
        # A folder on a machine that is not this one: only its name says anything here.
        return NamedModel(PureWindowsPath(written.rstrip("\\/")).name or written)
    plain = written.rstrip("/") or written
    if HUB_NAME.fullmatch(plain) and not plain.startswith("."):
        owner, _, name = plain.partition("/")
        return NamedModel(name, owner, plain)
    if "/" in plain:
        return NamedModel(PurePosixPath(plain).name or plain, folder=Path(plain).expanduser())
    return NamedModel(plain)


def place_among(model: NamedModel, known: Sequence[NamedModel]) -> int | None:
    """Which of them it is: the one of that name and owner, else one of that name whose owner
    nobody said, or any of that name for a model without one. None where it is another.
    """
    name, owner = model.name.casefold(), model.owner.casefold()
    named = [place for place, each in enumerate(known) if each.name.casefold() == name]
    owners = {place: known[place].owner.casefold() for place in named}
    of_owner = [place for place in named if owners[place] == owner]
    of_nobody = [place for place in named if not (owner and owners[place])]
    return next(iter([*of_owner, *of_nobody]), None)
