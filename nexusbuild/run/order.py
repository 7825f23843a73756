"""In which order targets begin, and the dispatch in that order.

doit orders and dispatches, and that is all: every target is a doit task whose one `uptodate` object
asks our rule when the target's inputs are done. doit's own database decides nothing and is never
written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from doit.cmd_base import TaskLoader2
from doit.dependency import JsonDB
from doit.doit_cmd import DoitMain
from doit.task import dict_to_task

from nexusbuild.rule.plan import waits_for
from nexusbuild.run.build_plan import BuildPlan

# Imports are paid once for all from this many targets on; below it, each pays for what it needs.
WORTH_PRELOADING = 3
# What nothing is known of still takes a moment, so that of two the one that more waits for leads.
_A_MOMENT = 1e-3


def sort_by_urgency(build_plan: BuildPlan, expected: Mapping[str, float | None]) -> list[str]:
    """All targets; what the most work hangs on comes first. expected: seconds of those that run."""
    wait: dict[str, float] = {}
    for target in reversed(build_plan.targets):
        own = expected.get(target) or 0.0
        wait[target] = wait.get(target, 0.0) + own + _A_MOMENT
        for each in waits_for(build_plan.steps[target]):
            wait[each] = max(wait.get(each, 0.0), wait[target])
    return sorted(build_plan.targets, key=lambda target: -wait[target])


def modules_to_preload(build_plan: BuildPlan) -> tuple[str, ...]:
    """Of the modules to import once, those that pay: few targets import sooner themselves."""
    today, graph = build_plan.world.today, build_plan.world.graph
    wanted = {name.partition(".")[0] for name in graph.preload}
    used = [
        wanted.intersection(today.code_of(graph[target]).libraries) for target in build_plan.running
    ]
    heavy: Sequence[set[str]] = [libraries for libraries in used if libraries]
    if len(heavy) < WORTH_PRELOADING:
        return ()
    tops = set().union(*heavy)
    return tuple(name for name in graph.preload if name.partition(".")[0] in tops)


def dispatch(
    targets: Sequence[str],
    waits_for: Mapping[str, Sequence[str]],
    has_result: Callable[[str], bool],
    make: Callable[[str], bool],
    threads: int,
    keep_going: bool,
) -> None:
    """Dispatch every target after those that it waits for; of several, the first named first.

    Without keep_going no target begins after a `make` that returned False.
    """
    tasks = [
        dict_to_task(
            {
                "name": _task_name(target),
                "actions": [(make, [target])],
                "uptodate": [(has_result, [target])],
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
    plugins = {"BACKEND": {"unwritten": "nexusbuild.run.order:Unwritten"}}
    code = DoitMain(Loader(), config_filenames=(), extra_config=plugins).run(arguments)
    if code == 3:
        raise RuntimeError("doit ended early; its message stands above")


class Unwritten(JsonDB):  # type: ignore[misc]
    """doit's database: kept in memory, written nowhere."""

    def dump(self) -> None:
        """Write nothing: the store remembers."""


def _task_name(target: str) -> str:
    """A target's id without what doit reads a meaning into."""
    return target.replace("%", "%25").replace("=", "%3D").replace("*", "%2A")
