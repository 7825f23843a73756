"""What is wrong with a spec, in the engine's words."""

from __future__ import annotations

import specs
from nexusbuild.graph import Problem, ResolveError
from specs.fill_in import gathered
from specs.problems import indented


def as_resolve_error(error: specs.SpecError) -> ResolveError:
    """The same problems; what is to be filled in alike is said once."""
    return ResolveError([_as_graph_problem(problem) for problem in gathered(error.problems)])


def _as_graph_problem(problem: specs.SpecProblem) -> Problem:
    """The excerpt stands before the remedy."""
    details = "\n".join(part for part in (problem.excerpt, indented(problem.remedy)) if part)
    return Problem(
        message=problem.message,
        file=problem.file,
        line=problem.line,
        column=problem.column,
        field=problem.field,
        remedy=details.strip(),
    )
