"""Shapes, types and ranges: a document becomes a `Spec`, or problems that say what is allowed."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specs.document import Document, FieldPath
from specs.model import Spec
from specs.problems import MOST_SHOWN, SpecProblem, suggestion
from specs.schema import describe, field_names, schema_at
from specs.suggestions import meant

# More than are shown: some of these stand where another problem is said instead.
MOST_TOLD = 2 * MOST_SHOWN


def validate(document: Document) -> tuple[Spec | None, list[SpecProblem], int]:
    """The spec; or None, the problems of shape that stand first, and how many more there are."""
    if not isinstance(document.data, dict):
        message = f"{quote(document.data)} is not a spec"
        remedy = f"allowed: {describe(schema_at(()))}"
        return None, [document.problem((), message, remedy)], 0
    try:
        return Spec.model_validate(document.data), [], 0
    except ValidationError as error:
        found = [each for each in error.errors(include_url=False) if not _of_its_items(each)]
    # To say what was meant takes a while for each, and only the first are shown.
    found.sort(key=lambda each: document.line_of(tuple(each["loc"])))
    told = [_problem(document, each) for each in found[:MOST_TOLD]]
    return None, told, len(found) - len(told)


def quote(value: Any) -> str:
    """A value as a message quotes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"[:40]
        case str():
            return f'"{value}"' if len(value) <= 40 else f'"{value[:39]}…"'
        case []:
            return "an empty list"
        case {} if not value:
            return "an empty mapping"
        case list():
            return "a list"
    return "a mapping"


def _of_its_items(details: ErrorDetails) -> bool:
    """Whether a list is called too short for its items are wrong, each of which is told as well."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _problem(document: Document, details: ErrorDetails) -> SpecProblem:
    path: FieldPath = tuple(details["loc"])
    match details["type"]:
        case "extra_forbidden":
            allowed = field_names(schema_at(path[:-1]))
            remedy = f"allowed: {', '.join(allowed)}{_meant_field(str(path[-1]), allowed)}"
            return document.problem(path, "unknown field", remedy, at_key=True)
        case "missing":
            remedy = f"allowed: {describe(schema_at(path))}"
            return document.problem(path, "is missing", remedy)
    if path and path[-1] == "[key]":
        remedy = "allowed: a name of letters, digits, _, - and ."
        return document.problem(path[:-1], "not a name", remedy, at_key=True)
    schema = schema_at(path)
    value = details["input"]
    remedy = f"allowed: {describe(schema)}{meant(value, schema)}"
    return document.problem(path, f"{quote(value)} is not allowed", remedy)


def _meant_field(name: str, fields: list[str]) -> str:
    key, colon, value = name.partition(":")
    if colon and key in fields:
        return f"; did you mean {key}: {value}, with a space?"
    return suggestion(name, fields)
