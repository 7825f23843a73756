"""What is wrong with a spec, in the engine's words."""

from __future__ import annotations

import specs
from nexusbuild.plugins import Problem, ResolveError
from specs.fill_in import gathered
from specs.problems import indented


def as_resolve_error(error: specs.SpecError) -> ResolveError:
    """The same problems; what is to be filled in alike is said once."""
    return ResolveError([_as_graph_problem(problem) for problem in gathered(error.problems)])


def _as_graph_problem(problem: specs.SpecProblem) -> Problem:
    """The excerpt stands before the remedy."""
    details = "\n".join(part for part in (problem.excerpt, indented(problem.remedy)) if part)
    return with_remedy(problem, details.strip())


def with_remedy(problem: specs.SpecProblem, remedy: str) -> Problem:
    """The same problem, and this to do about it."""
    return Problem(
        problem.message, problem.file, problem.line, problem.column, problem.field, remedy
    )
