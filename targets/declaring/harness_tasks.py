"""How the targets that ask a model declare the harness tasks of a capability."""

from __future__ import annotations

from nexusbuild.plugins import Source
from specs.model import Spec
from targets.declaring.slices import Field


def harness_fields(spec: Spec, capability: str) -> dict[str, Field]:
    """The setting `harness`; none where the capability has no task, so that no key changes."""
    harness = spec.capabilities[capability].harness
    if harness is None:
        return {}
    return {"harness": ({"tasks": list(harness.tasks)}, f"capabilities.{capability}.harness")}


def harness_sources(spec: Spec, capability: str) -> dict[str, Source]:
    """The role `tasks`: the folder with task files of one's own."""
    harness = spec.capabilities[capability].harness
    if harness is None or harness.folder is None:
        return {}
    remedy = (
        f"put the task files and their rows there, or correct "
        f"capabilities.{capability}.harness.folder"
    )
    return {"tasks": Source(harness.folder, remedy)}
