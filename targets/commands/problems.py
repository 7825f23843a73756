"""Everything that is wrong with a spec, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import specs
from nexusbuild.plugins import Problem
from specs.fill_in import gather_alike
from targets.commands.command import WRONG, complain, count_phrase
from targets.resolver.problems import with_remedy

AnyProblem = specs.SpecProblem | Problem


def complain_of_all(problems: Sequence[AnyProblem]) -> int:
    """List them on standard error, and how many they are; the exit code."""
    complain([*_merge_alike(problems), f"{count_phrase(_count(problems), 'problem')} found"])
    return WRONG


def _count(problems: Sequence[AnyProblem]) -> int:
    return sum(each.count if isinstance(each, specs.SpecProblem) else 1 for each in problems)


def problem_json(problem: AnyProblem) -> dict[str, Any]:
    """A problem as JSON; `excerpt` is its line in the file and the part of it that is meant."""
    excerpt = None
    if isinstance(problem, specs.SpecProblem) and problem.source_line:
        excerpt = {
            "text": problem.source_line,
            "column": problem.column,
            "length": max(1, problem.length),
        }
    if isinstance(problem, specs.SpecProblem):
        problem = with_remedy(problem, problem.remedy)
    return problem.to_json() | {"excerpt": excerpt}


def _merge_alike(problems: Sequence[AnyProblem]) -> list[AnyProblem]:
    """As a person reads them: what is to be filled in alike is said once."""
    of_spec = [problem for problem in problems if isinstance(problem, specs.SpecProblem)]
    return [*gather_alike(of_spec), *(each for each in problems if isinstance(each, Problem))]
