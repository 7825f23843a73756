"""What targets read from outside the store, and how a person gets what is not on the disk."""

from __future__ import annotations

import re

from nexusbuild.plugins import Source
from specs.model import Spec

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def remedy(origin: str | None, own: str, field: str, *, data: bool = False) -> str:
    """What to do where a source is missing. origin: where it can be had: OWNER/NAME is one of the
    hub's, for which there is a command; all else is an address. own: what to put there where
    nobody said. field: of the spec, that names the place; `{path}` stands for the place itself, as
    in every source's remedy.
    """
    if origin is None:
        return f"{own}, or correct {field}"
    if HUB_NAME.fullmatch(origin):
        kind = " --repo-type dataset" if data else ""
        return f"$ hf download {origin}{kind} --local-dir {{path}}\nor correct {field}"
    return f"fetch it from {origin} and put it there, or correct {field}"


def init_source(spec: Spec) -> dict[str, Source]:
    """Role `init`: the model that the backbone starts from; none where it starts from scratch."""
    init = spec.student.backbone.init
    if init is None:
        return {}
    remedy = (
        "put the model's folder there (config.json, *.safetensors), "
        "or correct student.backbone.init"
    )
    return {"init": Source(init.path, remedy)}
