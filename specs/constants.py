"""Literal constants at the top of a Python module, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from specs.problems import SpecError, SpecProblem

Traits = TypeVar("Traits")


def traits_of(kind: type[Traits], file: Path) -> Traits:
    """A dataclass of a module's constants: its field `unit` is the constant UNIT.

    Raises SpecError where one is missing that has no default, or is of another type.
    """
    found = constants_of(file)
    types = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        constant, wanted = field.name.upper(), types[field.name]
        if constant in found and type(found[constant]) is wanted:
            values[field.name] = found[constant]
        elif constant in found or field.default is MISSING:
            remedy = f"write `{constant} = ...` at its top, a literal {wanted.__name__}"
            raise SpecError([SpecProblem(f"has no usable {constant}", str(file), remedy=remedy)])
    return kind(**values)


def constants_of(file: Path) -> dict[str, Any]:
    """Names in capitals that a module gives a value at its top level: name -> the literal, or None
    where it is none. Raises SpecError where the file cannot be read.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except OSError as error:
        raise SpecError([SpecProblem(f"cannot be read: {error.strerror}", str(file))]) from None
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise SpecError([SpecProblem(f"not valid Python: {error}", str(file), line)]) from None
    return dict(_constants(tree))


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper():
                yield target.id, _literal(value)


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError):
        return None
