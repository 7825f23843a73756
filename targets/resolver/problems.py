"""What is wrong with a spec, in the engine's words."""

from __future__ import annotations

from collections.abc import Iterator

import specs
from nexusbuild.plugins import Problem, ResolveError, SpecFolder
from specs.fill_in import gather_alike
from specs.model import Spec
from specs.problems import indent


def as_resolve_error(error: specs.SpecError) -> ResolveError:
    """The same problems; what is to be filled in alike is said once."""
    return ResolveError([_as_graph_problem(problem) for problem in gather_alike(error.problems)])


def _as_graph_problem(problem: specs.SpecProblem) -> Problem:
    """The excerpt stands before the remedy."""
    details = "\n".join(part for part in (problem.excerpt, indent(problem.remedy)) if part)
    return with_remedy(problem, details.strip())


def with_remedy(problem: specs.SpecProblem, remedy: str) -> Problem:
    """The same problem, and this to do about it."""
    return Problem(
        problem.message, problem.file, problem.line, problem.column, problem.field, remedy
    )


def init_problems(spec: Spec, folder: SpecFolder, file: str) -> Iterator[Problem]:
    """A backbone that would start from a teacher's own folder under another path: by way of a
    link, say. The spec itself refuses the same path; copies are known by their tensors when the
    backbone is built, and again in the bundle.
    """
    init = spec.student.backbone.init
    if init is None:
        return
    for teacher in spec.teachers:
        path = teacher.source.path
        if path is not None and folder.real_path(path) == folder.real_path(init.path):
            yield Problem(
                message=f'{init.path} is the teacher "{teacher.id}": its weights would ship',
                file=file,
                field="student.backbone.init",
                remedy="start from a model that is no teacher, or from scratch",
            )
