"""doit orders and dispatches, and that is all: which target's turn it is, on which thread.

Every target is a doit task whose one `uptodate` object asks our rule, when its turn has come.
doit's own database decides nothing and is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def dispatch(
    targets: Sequence[str],
    waits_for: Mapping[str, Sequence[str]],
    has_its_result: Callable[[str], bool],
    make: Callable[[str], bool],
    threads: int,
    keep_going: bool,
) -> None:
    """Give every target its turn after those that it waits for; of several, the first named first.

    Without keep_going no turn begins after a `make` that says False.
    """
    from doit.cmd_base import TaskLoader2
    from doit.doit_cmd import DoitMain
    from doit.task import dict_to_task

    tasks = [
        dict_to_task(
            {
                "name": _task_name(target),
                "actions": [(make, [target])],
                "uptodate": [(has_its_result, [target])],
                "task_dep": [_task_name(each) for each in waits_for[target]],
                "io": {"capture": False},
            }
        )
        for target in targets
    ]

    class Loader(TaskLoader2):  # type: ignore[misc]
        """Hands doit these tasks."""

        def setup(self, opt_values: Any) -> None:
            pass

        def load_doit_config(self) -> dict[str, Any]:
            return {"dep_file": "", "backend": "unwritten", "reporter": "zero"}

        def load_tasks(self, cmd: Any, pos_args: Any) -> list[Any]:
            return tasks

    arguments = ["run", "-n", str(min(threads, len(tasks))), "-P", "thread"]
    if keep_going:
        arguments.append("--continue")
    plugins = {"BACKEND": {"unwritten": "nexusbuild.run.doit_database:Unwritten"}}
    code = DoitMain(Loader(), config_filenames=(), extra_config=plugins).run(arguments)
    if code == 3:
        raise RuntimeError("doit ended early; its message stands above")


def _task_name(target: str) -> str:
    """A target's id without what doit reads a meaning into."""
    return target.replace("%", "%25").replace("=", "%3D").replace("*", "%2A")
