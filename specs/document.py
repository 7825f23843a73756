"""A YAML file as plain data in which every value still knows where it stands.

Reads the core schema of YAML 1.2 (`yes` is text, `1e-3` is a number), resolves anchors and merge
keys, and takes the same key twice for the mistake that it is. Knows nothing of what a spec means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from specs.limits import (
    MOST_BYTES,
    MOST_ITEMS,
    MOST_MERGED,
    MOST_NAME_LETTERS,
    MOST_VALUES,
    excess,
    refuse_excess,
    too_long,
)
from specs.problems import SpecError, SpecProblem, line_of
from specs.syntax import syntax_problem

FieldPath = tuple[str | int, ...]

# The slow parser takes a second for so many letters.
MOST_PUT_BETTER = 1 << 16
_MAPPING = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Span:
    """A place in the file: line and column from 1, length in characters on that line."""

    line: int
    column: int
    length: int


@dataclass(frozen=True)
class Document:
    """Data of a YAML file, with the places of its keys and values by their paths."""

    file: str
    lines: list[str]
    data: Any
    keys: dict[FieldPath, Span]
    values: dict[FieldPath, Span]
    problems: list[SpecProblem]

    def problem(
        self, path: FieldPath, message: str, remedy: str = "", *, at_key: bool = False
    ) -> SpecProblem:
        """A problem with the value at `path`, or with its key, or with what holds them."""
        span = self._span(path, at_key)
        return SpecProblem(
            message=message,
            file=self.file,
            line=span.line,
            column=span.column,
            field=self.dotted(path),
            remedy=remedy,
            source_line=line_of(self.lines, span.line),
            length=span.length,
        )

    def line_of(self, path: FieldPath) -> int:
        """The line of the value at `path`, from 1."""
        return self._span(path, at_key=False).line

    def dotted(self, path: FieldPath) -> str:
        """`teachers.scholar.source.path`: a path as messages write it, items by their ids."""
        text = ""
        value = self.data
        for part in path:
            if isinstance(part, int):
                value = value[part] if isinstance(value, list) and part < len(value) else None
                identity = value.get("id") if isinstance(value, dict) else None
                text += f".{identity}" if isinstance(identity, str) else f"[{part}]"
            else:
                value = value.get(part) if isinstance(value, dict) else None
                text += f".{part}" if text else part
        return text

    def _span(self, path: FieldPath, at_key: bool) -> Span:
        if at_key and path in self.keys:
            return self.keys[path]
        if path in self.values and self.values[path].length:
            return self.values[path]
        # An empty value has no length: its key stands for it. A missing one: what holds it.
        for end in range(len(path), 0, -1):
            if path[:end] in self.keys:
                return self.keys[path[:end]]
            if path[:end] in self.values:
                return self.values[path[:end]]
        return Span(1, 1, 1)


def read_document(path: Path, file: str) -> Document:
    """Read and parse; `file` is the name that messages use.

    Raises SpecError where the file cannot be read or is no YAML. What is merely doubtful (a key
    given twice) is in the document's `problems`, so that the rest is examined all the same.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise too_long(file)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError([SpecProblem("no such file", file)]) from None
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
        remedy = "save the file in UTF-8"
        raise SpecError([SpecProblem(message, file, remedy=remedy)]) from None
    except OSError as error:
        raise SpecError([SpecProblem(f"cannot be read: {error.strerror}", file)]) from None
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Like `read_document`, for text that is at hand."""
    lines = text.splitlines()
    refuse_excess(text, lines, file, _FastLoader)
    try:
        root = compose(text)
        if root is None:
            raise SpecError([SpecProblem("is empty", file, 1, 1)])
        builder = _Builder(file, lines)
        data = builder.value(root, ())
    except yaml.YAMLError as error:
        raise SpecError([syntax_problem(error, text, lines, file)]) from None
    except RecursionError:
        raise SpecError([SpecProblem("is nested too deeply", file, 1, 1)]) from None
    return Document(file, lines, data, builder.keys, builder.values, builder.problems)


def compose(text: str) -> yaml.Node | None:
    """The root node of a text within `specs.limits`. Raises yaml.YAMLError."""
    try:
        return _composed_by(_FastLoader, text)
    except yaml.YAMLError as error:
        # The slow parser puts its errors better; where it finds none, the fast one's stands.
        if len(text) <= MOST_PUT_BETTER:
            _composed_by(_PlainLoader, text)
        raise error


def _composed_by(loader_type: Any, text: str) -> yaml.Node | None:
    loader = loader_type(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # the base class's own form


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # the base class's own form


_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
for _loader in (_PlainLoader, _FastLoader):
    for _name, (_pattern, _first) in _CORE_SCHEMA.items():
        _loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
        )


@dataclass
class _Builder:
    """Walks nodes; collects places and problems."""

    file: str
    lines: list[str]
    keys: dict[FieldPath, Span] = field(default_factory=dict)
    values: dict[FieldPath, Span] = field(default_factory=dict)
    problems: list[SpecProblem] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _count: int = 0
    _merged: int = 0
    _merge: Any = None

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise self._excess(f"stands for more than {MOST_VALUES:,} values", node)
        self.values[path] = self._place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self.problems.append(self._at(node, "contains itself"))
            return None
        if node.tag not in (_MAPPING, _SEQUENCE):
            self.problems.append(self._at(node, f"the tag {_short(node.tag)} is not allowed"))
        if len(node.value) > MOST_ITEMS:
            raise self._excess(f"holds {len(node.value):,} items, more than {MOST_ITEMS:,}", node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                self._merge = key
                merged.extend(self._merged_pairs(value))
            elif not isinstance(key, yaml.ScalarNode):
                self.problems.append(self._at(key, "a key must be a plain name"))
            elif len(key.value) > MOST_NAME_LETTERS:
                message = f"a name of {len(key.value):,} letters"
                remedy = f"allowed: at most {MOST_NAME_LETTERS}"
                self.problems.append(self._at(key, message, remedy))
            elif (unseen := _invisible(key.value)) is not None:
                message = f"a name with the invisible character U+{ord(unseen):04X}"
                self.problems.append(self._at(key, message, "type the name and its spaces again"))
            elif key.value in built:
                inner = (*path, key.value)
                first = self.keys[inner].line
                remedy = "keep one of the two"
                where = f"`{key.value}` stands here twice; first on line {first}"
                self.problems.append(self._at(key, where, remedy))
            else:
                built[key.value] = self._pair(key, value, path)
        for key, value in merged:
            if key.value not in built:
                built[key.value] = self._pair(key, value, path)
        return built

    def _pair(self, key: yaml.ScalarNode, value: yaml.Node, path: FieldPath) -> Any:
        inner = (*path, key.value)
        self.keys[inner] = self._place(key)
        return self.value(value, inner)

    def _merged_pairs(self, node: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """What `<<: *anchor` brings in; of several mappings, the earlier wins."""
        self._count_merged()
        if id(node) in self._open:
            self.problems.append(self._at(node, "contains itself"))
            return
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.tag == _MERGE:
                        yield from self._merged_pairs(value)
                    elif isinstance(key, yaml.ScalarNode):
                        self._count_merged()
                        yield key, value
            elif isinstance(node, yaml.SequenceNode):
                for item in node.value:
                    yield from self._merged_pairs(item)
            else:
                self.problems.append(self._at(node, "only a mapping can be merged with `<<`"))
        finally:
            self._open.discard(id(node))

    def _count_merged(self) -> None:
        """Mappings that merge mappings that merge others double what there is, line by line."""
        self._merged += 1
        if self._merged > MOST_MERGED:
            message = f"`<<` brings in more than {MOST_MERGED:,} fields"
            raise self._excess(message, self._merge, "merge less, or write the fields out")

    def _excess(self, message: str, node: yaml.Node, *remedy: str) -> SpecError:
        return excess(message, node.start_mark, self.lines, self.file, *remedy)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            match kind:
                case "str" | "merge":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text)
                case "float":
                    return float(text)
        except ValueError:
            self.problems.append(self._at(node, f"{text[:20]}… is no {kind} that can be read"))
            return None
        self.problems.append(self._at(node, f"the tag {_short(node.tag)} is not allowed"))
        return text

    def _place(self, node: yaml.Node) -> Span:
        start, end = node.start_mark, node.end_mark
        if end.line == start.line:
            length = end.column - start.column
        else:
            line = self.lines[start.line] if start.line < len(self.lines) else ""
            length = len(line.split(" #")[0].rstrip()) - start.column
        return Span(start.line + 1, start.column + 1, max(0, length))

    def _at(self, node: yaml.Node, message: str, remedy: str = "") -> SpecProblem:
        span = self._place(node)
        line = line_of(self.lines, span.line)
        return SpecProblem(
            message, self.file, span.line, span.column, "", remedy, line, span.length
        )


def _invisible(name: str) -> str | None:
    """The first letter of a name that nobody sees: another space than the usual, a mark."""
    return next((c for c in name if c != " " and unicodedata.category(c) in ("Zs", "Cf")), None)


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)
