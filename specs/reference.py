"""The reference of nexus.yaml for people, made from the models.

`python -m specs.reference docs/spec.md` writes it between the page's two marks.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from specs.schema import Schema, describe, json_schema, resolve

BEGIN = "<!-- the reference begins: made by `python -m specs.reference docs/spec.md` -->"
END = "<!-- the reference ends -->"
# Sections with names of the person's own, and lists: how a path in them is written.
_NAMED, _LISTED = "NAME", "[]"


def reference() -> str:
    """Every section of the spec with its fields, as Markdown."""
    return "\n".join(_section((), {}, json_schema()))


def page_with_reference(page: str) -> str:
    """The page with a new reference between its marks. Raises ValueError without marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the reference")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(path: tuple[str, ...], told: dict[str, str], node: Schema) -> Iterator[str]:
    """A heading, what the section is, a table of its fields; then the sections within it.

    told: fields of a section -> the path that it was first described under.
    """
    yield f"### `{_show_path(path)}`" if path else "### The whole file"
    yield ""
    if path and node.get("description"):
        yield f"{_plain(str(node['description']))}"
        yield ""
    yield "| field | what it is | allowed | default |"
    yield "|---|---|---|---|"
    properties: Mapping[str, Schema] = node.get("properties", {})
    for name, field in properties.items():
        what = _plain(str(field.get("description", "")))
        yield f"| `{name}` | {what} | {_allowed_values(field)} | {_default(node, name, field)} |"
    yield ""
    for name, field in properties.items():
        for step, inner in _inner_sections(field):
            key = json.dumps(inner.get("properties", {}), sort_keys=True)
            inner_path = (*path, name, *step)
            if key in told:
                yield from (f"### `{_show_path(inner_path)}`", "", f"As `{told[key]}`.", "")
                continue
            told[key] = _show_path(inner_path)
            yield from _section(inner_path, told, inner)


def _inner_sections(field: Schema) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Mappings with keys of their own that a field holds, with how to get to them."""
    field = resolve(field)
    for option in (field, *(resolve(each) for each in field.get("anyOf", []))):
        if "properties" in option:
            yield (), option
        for step, inner in (
            (_NAMED, option.get("additionalProperties")),
            (_NAMED, next(iter(option.get("patternProperties", {}).values()), None)),
            (_LISTED, option.get("items")),
        ):
            found = resolve(inner) if isinstance(inner, Mapping) else {}
            if "properties" in found:
                yield (step,), found


def _show_path(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(f".{_LISTED}", _LISTED)


def _allowed_values(field: Schema) -> str:
    if any(True for _ in _inner_sections(field)):
        kinds = [step[0] if step else "" for step, _ in _inner_sections(field)]
        if _LISTED in kinds:
            return "a list; see its table"
        return "names of your own; see its table" if _NAMED in kinds else _first_words(field)
    return _plain(describe(field))


def _first_words(field: Schema) -> str:
    words = describe(field)
    return "a mapping; see its table" if words.startswith("a mapping") else _plain(words)


def _default(node: Schema, name: str, field: Schema) -> str:
    if name in node.get("required", ()):
        return "required"
    value: Any = field.get("default")
    if value is None or isinstance(value, dict | list):
        return ""
    text = json.dumps(value) if not isinstance(value, str) else value
    return f"`{text}`".replace("\n", "\\n")


def _plain(text: str) -> str:
    """Text in a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def main() -> None:
    """Update the reference in the page."""
    page = Path(sys.argv[1])
    page.write_text(page_with_reference(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
