"""Load tasks of lm-evaluation-harness by name, with their documents.

Where documents come from a hub this reads the network: never call it where that is forbidden.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSING = (
    "lm-evaluation-harness is not installed, and the spec names tasks of it: "
    "pip install 'nexus-distill[harness]', or drop `harness` from the capability"
)


@dataclass(frozen=True)
class Harness:
    """names: tasks, as the harness knows them. folder: task files of one's own, if any."""

    names: tuple[str, ...]
    folder: Path | None

    @classmethod
    def from_job(cls, settings: Mapping[str, Any], sources: Mapping[str, Path]) -> Harness | None:
        """What a target's settings and sources say; None where they name no task."""
        named = settings.get("harness")
        return cls(tuple(named["tasks"]), sources.get("tasks")) if named else None


def load_tasks(harness: Harness, cache: Path) -> Mapping[str, Any]:
    """The harness's own task objects by name. cache: where it may keep prepared documents.

    Paths in a task file are relative to its folder. Raises ValueError where the harness is not
    installed, does not know a task, or cannot get its documents.
    """
    try:
        import datasets
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ValueError(f"{MISSING} ({error})") from error
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    own = str(harness.folder) if harness.folder else None
    with _working_in(harness.folder):
        # To index the harness's own tasks takes long; one's own folder often has all.
        manager = TaskManager(include_path=own, include_defaults=False)
        if set(harness.names) - set(manager.all_tasks):
            manager = TaskManager(include_path=own)
        unknown = sorted(set(harness.names) - set(manager.all_tasks))
        if unknown:
            raise ValueError(
                f"lm-evaluation-harness knows no task {', '.join(unknown)}; `lm-eval ls tasks` "
                "lists its own, and capabilities.*.harness.folder names a folder with yours"
            )
        try:
            loaded = manager.load(list(harness.names))
        except Exception as error:  # of any of the libraries that fetch and read documents
            raise ValueError(
                f"the documents of {', '.join(harness.names)} cannot be had "
                f"({type(error).__name__}: {error}); try again with a network, or keep them in "
                "capabilities.*.harness.folder"
            ) from error
    _refuse_groups(harness.names, loaded["tasks"])
    return dict(loaded["tasks"])


def _refuse_groups(names: Sequence[str], tasks: Mapping[str, Any]) -> None:
    groups = sorted(set(names) - set(tasks))
    if groups:
        raise ValueError(
            f"{', '.join(groups)} stands for several tasks, whose items do not pair; name one of "
            f"them: {', '.join(sorted(tasks)[:8])}"
        )


@contextmanager
def _working_in(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)
