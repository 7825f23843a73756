"""What is wrong with text that is not YAML, in the words of whoever wrote it.

The parser says what it expected; a person wants to know what they did. Each of its messages that
a slip of the hand can provoke is told again, at the place where the hand slipped.
"""

from __future__ import annotations

import re

import yaml

from specs.problems import SpecProblem, line_of

_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)")
_SPACED = "write `name: value`, with a space after the colon"


def syntax_problem(error: yaml.YAMLError, text: str, lines: list[str], file: str) -> SpecProblem:
    """The parser's error as a problem."""
    conflict = next((n for n, line in enumerate(lines) if _CONFLICT.match(line)), None)
    if conflict is not None:
        return _at(
            "a merge conflict is left in it", "keep one of the two sides", conflict, 0, lines, file,
            len(lines[conflict]),
        )  # fmt: skip
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return _marked_problem(error, lines, file)
    position = getattr(error, "position", None)
    if isinstance(position, int):
        before = text[:position]
        line, column = before.count("\n"), position - (before.rfind("\n") + 1)
        letter = ord(text[position]) if position < len(text) else 0
        message = f"not valid YAML: the character U+{letter:04X} is not allowed"
        return SpecProblem(message, file, line + 1, column + 1)
    return SpecProblem(f"not valid YAML: {error}", file)


def _marked_problem(error: yaml.MarkedYAMLError, lines: list[str], file: str) -> SpecProblem:
    mark, context = error.problem_mark, error.context_mark
    assert mark is not None
    what = str(error.problem)
    line, column = mark.line, mark.column
    start = (context.line, context.column) if context else (line, column)
    place = (line, column) if line < len(lines) else start  # the end of the file shows nothing
    told = _told(what, str(error.context), start, place, lines)
    if told is not None:
        message, remedy, place = told
    else:
        message = what
        remedy = f"{error.context} that begins on line {start[0] + 1}" if context else ""
    return _at(f"not valid YAML: {message}", remedy, *place, lines, file)


Place = tuple[int, int]
"""Line and column, from 0."""


def _told(
    what: str, context: str, start: Place, place: Place, lines: list[str]
) -> tuple[str, str, Place] | None:
    """Message, remedy and place; start: where what could not be read begins."""
    letter = _letter(lines, place)
    if "cannot start any token" in what and "\\t" in what:
        return "a tab", "indent with spaces, not with tabs", place
    if "cannot start any token" in what:
        return f"a value cannot begin with {letter}", "put the value in quotes", place
    if "could not find expected ':'" in what:
        return "a key without a colon", _SPACED, start
    if "mapping values are not allowed" in what:
        remedy = "put the value in quotes, or begin a new line for a new key"
        return "a second colon in one line", remedy, place
    if "quoted scalar" in context and "end of stream" in what:
        return "the quote is never closed", "close it", start
    if "unknown escape" in what:
        remedy = "write \\\\ for a backslash, or take single quotes"
        return f"\\{letter} means nothing in double quotes", remedy, place
    alias = re.search(r"undefined alias '?(.*?)'?$", what)
    if alias:
        name = alias[1]
        return f'no anchor is called "{name}"', f"name a value `&{name}` further up", place
    if "flow mapping" in context or "flow sequence" in context:
        opened = "{" if "mapping" in context else "["
        remedy = f"it is opened on line {start[0] + 1}, column {start[1] + 1}"
        if place == start:
            return (
                f"{opened} is never closed",
                f"close it with {'}' if opened == '{' else ']'}",
                start,
            )
        return f"a comma or the end of {opened} is missing before this", remedy, place
    if "<block end>" in what or "did not find expected key" in what or "'-' indicator" in what:
        return _out_of_line(start, place, lines)
    if "<document start>" in what:
        return "the file goes on after its end", "take out the line `...` or `---`", place
    return None


def _out_of_line(start: Place, place: Place, lines: list[str]) -> tuple[str, str, Place] | None:
    """A line that belongs to no block: begun in another column than its neighbours."""
    text = lines[place[0]] if place[0] < len(lines) else ""
    if text.lstrip().startswith(("]", "}")) or _letter(lines, place) in "]}":
        return f"nothing is open that {_letter(lines, place)} could close", "take it out", place
    if re.match(r"\s*-\S", text):
        return "a dash without a space", "write `- name: value`", place
    if start[1] == place[1]:
        return None
    remedy = f"the block that begins on line {start[0] + 1} stands in column {start[1] + 1}"
    return f"stands in column {place[1] + 1}, in line with nothing above", remedy, place


def _letter(lines: list[str], place: Place) -> str:
    line = lines[place[0]] if place[0] < len(lines) else ""
    return line[place[1] : place[1] + 1] or " "


def _at(
    message: str, remedy: str, line: int, column: int, lines: list[str], file: str, length: int = 1
) -> SpecProblem:
    source_line = line_of(lines, line + 1)
    return SpecProblem(message, file, line + 1, column + 1, "", remedy, source_line, length)
