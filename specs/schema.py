"""The JSON Schema of `nexus.yaml`: for editors, and for messages that say what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from specs.model import Spec
from specs.quantities import ALLOWED

Schema = Mapping[str, Any]


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@lru_cache(maxsize=1)
def json_schema() -> dict[str, Any]:
    """The schema as JSON data."""
    schema = Spec.model_json_schema(schema_generator=_Untitled)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "nexus.yaml",
    }


def json_schema_text() -> str:
    """The schema as `specs/nexus.schema.json` holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def schema_at(path: tuple[str | int, ...]) -> Schema:
    """The part of the schema that the value at `path` must satisfy; empty where there is none."""
    node: Schema = json_schema()
    for part in path:
        node = _inner(resolve(node), part)
    return resolve(node)


def field_names(node: Schema) -> list[str]:
    """The keys that a mapping may have, in the order of the documentation."""
    return list(_object_part(resolve(node)).get("properties", {}))


def choices(node: Schema) -> list[str]:
    """The values to choose from, where a value is one of a few."""
    node = resolve(node)
    if "const" in node:
        return [_show_value(node["const"])]
    if "enum" in node:
        return [_show_value(value) for value in node["enum"]]
    return [choice for option in node.get("anyOf", []) for choice in choices(option)]


def allows(node: Schema, kind: str) -> bool:
    """Whether a value of this type of JSON may stand there."""
    node = resolve(node)
    return node.get("type") == kind or any(allows(each, kind) for each in node.get("anyOf", []))


def describe(node: Schema) -> str:
    """What a value may be, in words."""
    node = resolve(node)
    if ALLOWED in node:
        return str(node[ALLOWED])
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(describe(option) for option in options))
    if "const" in node or "enum" in node:
        return ", ".join(choices(node))
    match node.get("type"):
        case "integer":
            return "a whole number" + _bounds(node)
        case "number":
            return "a number" + _bounds(node)
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            some = " with at least one item" if node.get("minItems") else ""
            return f"a list{some}; each is {describe(node.get('items', {}))}"
        case "object":
            names = field_names(node)
            if names:
                others = ", and names of your own" if node.get("additionalProperties") else ""
                return f"a mapping with the keys {', '.join(names)}{others}"
            return f"a mapping of names, each with {describe(_inner(node, 'any'))}"
    return "text"


def _bounds(node: Schema) -> str:
    parts = []
    if "exclusiveMinimum" in node:
        parts.append(f"above {node['exclusiveMinimum']:g}")
    if "minimum" in node:
        parts.append(f"of at least {node['minimum']:g}")
    if "exclusiveMaximum" in node and node["exclusiveMaximum"] < 10**9:
        parts.append(f"below {node['exclusiveMaximum']:g}")
    if "maximum" in node:
        parts.append(f"at most {node['maximum']:g}")
    return " " + " and ".join(parts) if parts else ""


def _inner(node: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        for option in (node, *node.get("anyOf", [])):
            if "items" in option:
                return dict(option["items"])
        return {}
    node = _object_part(node)
    if part in node.get("properties", {}):
        return dict(node["properties"][part])
    extra = node.get("additionalProperties", node.get("patternProperties", {}))
    if isinstance(extra, Mapping):
        return extra if "patternProperties" not in node else dict(next(iter(extra.values())))
    return {}


def _object_part(node: Schema) -> Schema:
    for option in (node, *(resolve(option) for option in node.get("anyOf", []))):
        if "properties" in option or "additionalProperties" in option:
            return option
    return node


def resolve(node: Schema) -> Schema:
    """The part itself, where it is only named."""
    if "$ref" not in node:
        return node
    definition = json_schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return {**definition, **{key: value for key, value in node.items() if key != "$ref"}}


def _show_value(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
