"""Additions to a spec's text that leave every other character as it was.

An entry is written into the text where its section ends, in the style of its neighbours, so that
comments, order, quoting and anchors survive by construction. The result is read again and must
say what the file said before, and the new entry: else nothing is changed. A round-trip emitter is
not used: it writes the whole document again, with one indentation and one kind of line end for all,
and so changes lines that nobody edited.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from specs.document import compose, parse_document

Section = tuple[str, ...]


class EditError(Exception):
    """The text cannot be edited safely; says what to write by hand."""


Comments = Mapping[str, str]
"""Field of an entry -> what stands in a comment behind it, or below all where it has no value."""


def append_teacher(text: str, teacher: Mapping[str, Any], comments: Comments | None = None) -> str:
    """The text with one more teacher; what it teaches also ships, where the spec lists what does
    and there is a trainer for it.

    Raises EditError, and SpecError where the text is no YAML.
    """
    text = append(text, ("teachers",), dict(teacher), comments=comments)
    data = parse_document(text, "").data
    include = _at(data, ("bundle", "include"))
    for capability in teacher.get("capabilities", ()):
        modality = _at(data, ("capabilities", capability, "modality")) or "text"
        known = isinstance(include, list) and capability in include
        if isinstance(include, list) and not known and modality == "text":
            text = append(text, ("bundle", "include"), capability)
    return text


def append_capability(
    text: str, name: str, capability: Mapping[str, Any], comments: Comments | None = None
) -> str:
    """The text with one more capability. Raises as `append_teacher`."""
    return append(text, ("capabilities",), dict(capability), key=name, comments=comments)


def append_dataset(
    text: str, name: str, dataset: Mapping[str, Any], comments: Comments | None = None
) -> str:
    """The text with one more data set. Raises as `append_teacher`."""
    return append(text, ("datasets",), dict(dataset), key=name, comments=comments)


def append(
    text: str,
    section: Section,
    value: Any,
    *,
    key: str | None = None,
    comments: Comments | None = None,
) -> str:
    """The text with `value` as the last item of a list, or under `key` as the last of a mapping.

    Raises EditError where that cannot be done without changing anything else.
    """
    by_hand = EditError(f"{'.'.join(section)} is written in a way that cannot be added to; "
                        f"add by hand: {_entry(value, key)}")  # fmt: skip
    expected = copy.deepcopy(_said(text))
    try:
        holder = _at(expected, section[:-1])
        if holder.get(section[-1]) is None:
            holder[section[-1]] = [] if key is None else {}
        if key is None:
            holder[section[-1]].append(value)
        elif key in holder[section[-1]]:
            raise EditError(f"{'.'.join(section)}.{key} is there already")
        else:
            holder[section[-1]][key] = value
        edited = _insert(text, section, _Entry(value, key, comments or {}))
        if _told_apart(_said(edited)) != _told_apart(expected):
            raise by_hand
    except (AttributeError, TypeError, IndexError, _NoPlaceError):
        raise by_hand from None
    return edited


def _said(text: str) -> Any:
    """What the text says; a block of text in its last line ends with it, as it does elsewhere."""
    return parse_document(text if text.endswith(("\n", "\r")) else f"{text}\n", "").data


class _NoPlaceError(Exception):
    """There is no place that is certain to be right."""


@dataclass(frozen=True)
class _Text:
    """Text with its lines, by the line and column that YAML's marks count in."""

    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines(keepends=True)

    @property
    def newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def offset(self, line: int, column: int) -> int:
        return sum(len(each) for each in self.lines[:line]) + column

    def inserted(self, offset: int, new: str) -> str:
        return self.text[:offset] + new + self.text[offset:]

    def with_lines(self, line: int, new: list[str]) -> str:
        """The text with these lines before the line of that number."""
        lines = self.lines
        if line >= len(lines) and lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += self.newline
        return "".join([*lines[:line], *(each + self.newline for each in new), *lines[line:]])


@dataclass(frozen=True)
class _Entry:
    """What is added: an item of a list, or of a mapping where there is a key."""

    value: Any
    key: str | None
    comments: Comments

    @property
    def flow(self) -> str:
        """On one line."""
        return _entry(self.value, self.key)

    def block(self, indent: int, *, flow: bool) -> list[str]:
        """Its lines. A comment has no place in a value on one line, so that is opened up then."""
        pad = " " * indent
        if not isinstance(self.value, Mapping) or not self.value or (flow and not self.comments):
            return [pad + ("- " if self.key is None else "") + self.flow]
        inner = [f"{_scalar(name)}: {flow_text(part)}" for name, part in self.value.items()]
        for place, name in enumerate(self.value):
            if name in self.comments:
                inner[place] += f"  # {self.comments[name]}"
        inner += [f"# {said}" for name, said in self.comments.items() if name not in self.value]
        if self.key is None:
            return [f"{pad}- {inner[0]}", *(f"{pad}  {line}" for line in inner[1:])]
        return [f"{pad}{_scalar(self.key)}:", *(f"{pad}  {line}" for line in inner)]


def _insert(text: str, section: Section, entry: _Entry) -> str:
    source = _Text(text)
    root = compose(text)  # `append` has parsed it, within its limits
    holder = _mapping(root)
    for part in section[:-1]:
        holder = _mapping(_pair(holder, part)[1])
    found = [pair for pair in holder.value if pair[0].value == section[-1]]
    if not found:
        return _new_section(source, holder, section[-1], entry)
    name, node = found[0]
    if isinstance(node, yaml.ScalarNode):
        # `teachers:` with nothing behind it.
        if node.value or node.start_mark.index < name.end_mark.index:
            raise _NoPlaceError
        indent = name.start_mark.column + 2
        return source.with_lines(name.end_mark.line + 1, entry.block(indent, flow=False))
    if node.start_mark.index < name.end_mark.index:
        raise _NoPlaceError  # an alias: what it names stands elsewhere
    if node.flow_style:
        return _into_flow(source, node, entry)
    return _after_block(source, node, entry)


def _new_section(source: _Text, holder: yaml.MappingNode, name: str, entry: _Entry) -> str:
    if holder.flow_style:
        content = [entry.value] if entry.key is None else {entry.key: entry.value}
        return _into_flow(source, holder, _Entry(content, name, entry.comments))
    column = holder.start_mark.column
    line = _line_after(source, holder)
    head = f"{' ' * column}{name}:"
    gap = [""] if column == 0 else []
    return source.with_lines(line, [*gap, head, *entry.block(column + 2, flow=False)])


def _into_flow(source: _Text, node: yaml.CollectionNode, entry: _Entry) -> str:
    """`[a, b]` -> `[a, b, c]`."""
    if entry.comments:
        raise _NoPlaceError  # the rest of the line would be part of the comment
    if not node.value:
        start = source.offset(node.start_mark.line, node.start_mark.column)
        return source.inserted(start + 1, entry.flow)
    line, column = _end(node)
    return source.inserted(source.offset(line, column), f", {entry.flow}")


def _after_block(source: _Text, node: yaml.CollectionNode, entry: _Entry) -> str:
    last = node.value[-1]
    first_node, last_value = last if isinstance(last, tuple) else (last, last)
    column = node.start_mark.column
    line = _line_after(source, node)
    # Comments that are indented deeper belong to the entry above them.
    while line < len(source.lines) and _is_comment_below(source.lines[line], column):
        line += 1
    flow = isinstance(last_value, yaml.CollectionNode) and bool(last_value.flow_style)
    new = entry.block(column, flow=flow)
    before = first_node.start_mark.line - 1
    while before > 0 and source.lines[before].lstrip().startswith("#"):
        before -= 1
    if len(node.value) > 1 and not source.lines[before].strip():
        new = ["", *new]
    return source.with_lines(line, new)


def _is_comment_below(line: str, column: int) -> bool:
    bare = line.lstrip(" ")
    return bare.startswith("#") and len(line) - len(bare) > column


def _line_after(source: _Text, node: yaml.Node) -> int:
    """The number of the first line behind a block."""
    line, column = _end(node)
    return line if column == 0 and line > node.start_mark.line else line + 1


def _end(node: yaml.Node) -> tuple[int, int]:
    """Line and column where the content of a node ends. A block's own mark lies far behind it."""
    if isinstance(node, yaml.CollectionNode) and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (None, last)
        if value.start_mark.index < (key or node).start_mark.index:
            if key is None or node.flow_style:
                raise _NoPlaceError  # ends in an alias
            return key.end_mark.line, key.end_mark.column
        return _end(value) if not getattr(value, "flow_style", False) else _mark(value.end_mark)
    return _mark(node.end_mark)


def _mark(mark: Any) -> tuple[int, int]:
    return mark.line, mark.column


def _entry(value: Any, key: str | None) -> str:
    return flow_text(value) if key is None else f"{_scalar(key)}: {flow_text(value)}"


def flow_text(value: Any) -> str:
    """A value on one line, as a person would write it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(k)}: {flow_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    if isinstance(value, str):
        return _scalar(value)
    return json.dumps(value)


def _scalar(text: str) -> str:
    """Plain where it reads as the same text everywhere, quoted else."""
    plain = text and text[0].isalnum() and all(c.isalnum() or c in "_./-+ " for c in text)
    plain = plain and text == " ".join(text.split())
    if plain and text.isascii() and _reads_as_text(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _reads_as_text(text: str) -> bool:
    node = compose(text)
    # Other readers of YAML take these for truth values.
    old_style = text.lower() in ("yes", "no", "on", "off", "y", "n")
    return node is not None and node.tag == "tag:yaml.org,2002:str" and not old_style


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise _NoPlaceError
    return node


def _pair(holder: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node]:
    for key, value in holder.value:
        if key.value == name:
            return key, value
    raise _NoPlaceError


def _told_apart(value: Any) -> Any:
    """The value with what Python takes for equal told apart: 1, 1.0 and true; the order of keys."""
    if isinstance(value, Mapping):
        return [(name, _told_apart(part)) for name, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [_told_apart(item) for item in value]
    return (type(value).__name__, repr(value))


def _at(data: Any, path: Section) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data
