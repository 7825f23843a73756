"""Which targets a build looks at, and what each of them waits for."""

from __future__ import annotations

from collections.abc import Sequence

from nexusbuild.graph import input_target
from nexusbuild.rule.plan import Step, Steps, World


def closure(world: World, steps: Steps, selected: Sequence[str]) -> list[str]:
    """The selected targets and all that they need, in topological order.

    Below a pinned target that has its result nothing is looked at: it is not made from it today.
    """
    found: set[str] = set()
    waiting = list(selected)
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting.extend(waits_for(steps[each]))
    return [target.id for target in world.order if target.id in found]


def waits_for(step: Step) -> list[str]:
    """The targets whose results this one's turn depends on."""
    if step.pinned and step.state in ("fresh", "cached"):
        return []
    return list(dict.fromkeys(input_target(each) for each in step.target.inputs.values()))
