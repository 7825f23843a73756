"""In which order to begin, and what to import once for all: from what is known before the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nexusbuild.rule.closure import waits_for
from nexusbuild.run.selection import Proposal

# Imports are paid once for all from this many targets on; below it, each pays for what it needs.
WORTH_PRELOADING = 3
# What nothing is known of still takes a moment, so that of two the one that more waits for leads.
_A_MOMENT = 1e-3


def by_urgency(proposal: Proposal, expected: Mapping[str, float | None]) -> list[str]:
    """All targets; what the most work hangs on comes first. expected: seconds of those that run."""
    wait: dict[str, float] = {}
    for target in reversed(proposal.targets):
        own = expected.get(target) or 0.0
        wait[target] = wait.get(target, 0.0) + own + _A_MOMENT
        for each in waits_for(proposal.steps[target]):
            wait[each] = max(wait.get(each, 0.0), wait[target])
    return sorted(proposal.targets, key=lambda target: -wait[target])


def worth_preloading(proposal: Proposal) -> tuple[str, ...]:
    """Of the modules to import once, those that pay: few targets import sooner themselves."""
    facts, graph = proposal.world.facts, proposal.world.graph
    wanted = {name.partition(".")[0] for name in graph.preload}
    used = [
        wanted.intersection(facts.code_of(graph[target]).libraries) for target in proposal.running
    ]
    heavy: Sequence[set[str]] = [libraries for libraries in used if libraries]
    if len(heavy) < WORTH_PRELOADING:
        return ()
    tops = set().union(*heavy)
    return tuple(name for name in graph.preload if name.partition(".")[0] in tops)
