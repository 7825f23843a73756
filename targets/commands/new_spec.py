"""The text of a new nexus.yaml: what was found, what was chosen, and why each section is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from specs.capabilities import Contract
from specs.edit import flow_text
from specs.values import NO_ASSERTION

WIDTH = 88
# The spec is the one place where a threshold stands: a new one says its own default aloud.
USUAL_FRACTION = Contract().retain_fraction


@dataclass(frozen=True)
class Entry:
    """An entry of a section: its fields, and a line of comment above it."""

    fields: Mapping[str, Any]
    comment: str = ""


@dataclass(frozen=True)
class NewSpec:
    """What a new spec says. left_out, data_left_out: (what, why) for comments."""

    name: str
    hardware: Mapping[str, Any]
    datasets: Mapping[str, Entry]
    teachers: tuple[Entry, ...]
    capabilities: Mapping[str, Entry]
    licences: tuple[str, ...]
    student: Mapping[str, Any]
    left_out: tuple[tuple[str, str], ...] = ()
    data_left_out: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The file."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterable[str]:
        yield f"# {self.name}: what to learn, from whom, and what must be kept."
        yield "#"
        yield "#   nexusbuild check      every mistake in this file at once"
        yield "#   nexusbuild --dry-run  what would be built, and why"
        yield "#   nexusbuild            build it"
        yield "#"
        yield "# docs/spec.md says what else may stand here; `nexusbuild schema` is for editors."
        yield "nexus: 1"
        yield f"name: {flow_text(self.name)}"
        yield "seed: 42                     # everything random derives from it"
        yield ""
        yield "# What a build may use. None of this changes what comes out of it."
        yield f"hardware: {flow_text(self.hardware)}"
        yield ""
        yield "# What there is to learn: prompts and answers. `eval` is held out for the contracts."
        yield from _section_lines("datasets", self.datasets)
        yield from _left_out(self.data_left_out)
        yield ""
        yield "# Who can do it already: a model folder (`path`), a model of the hub (`hub` with a"
        yield "# `revision`), or one that the build trains from scratch (`train`)."
        yield "teachers:"
        for entry in self.teachers:
            yield from _item(entry)
        yield from _left_out(self.left_out)
        yield ""
        yield "# What the model is to be able to do, and how an answer is scored."
        yield from _section_lines("capabilities", self.capabilities)
        yield ""
        yield "# What must be retained of the teacher's score on held-out rows. A build that misses"
        yield "# one releases nothing."
        yield "contracts:"
        for name in self.capabilities:
            yield f"  {flow_text(name)}: {{retain_fraction: {USUAL_FRACTION}}}"
        yield ""
        if self.licences:
            yield "# Licences that teachers and data may have; others are refused before anything"
            yield f"# loads. {NO_ASSERTION} is what nobody has stated: find it out before you ship."
            yield f"licences: {{allow: {flow_text(self.licences)}}}"
            yield ""
        yield "# The model that ships: one frozen backbone, and one adapter for each capability."
        yield "student:"
        for name, value in self.student.items():
            yield from _field(name, value, "  ")
        yield ""
        yield "bundle: {quantize: int8}     # none | int8 | nf4"


def _left_out(what_and_why: Iterable[tuple[str, str]]) -> Iterable[str]:
    for what, why in what_and_why:
        yield f"  # left out: {what}: {why}"


def _section_lines(section: str, entries: Mapping[str, Entry]) -> Iterable[str]:
    yield f"{section}:"
    for name, entry in entries.items():
        if entry.comment:
            yield f"  # {entry.comment}"
        yield from _field(name, entry.fields, "  ")


def _item(entry: Entry) -> Iterable[str]:
    if entry.comment:
        yield f"  # {entry.comment}"
    lines = [line for name, value in entry.fields.items() for line in _field(name, value, "    ")]
    yield f"  - {lines[0].lstrip()}"
    yield from lines[1:]


def _field(name: str, value: Any, indent: str) -> Iterable[str]:
    """On one line, where it has room; else a line for each part."""
    line = f"{indent}{flow_text(name)}: {flow_text(value)}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        yield line
        return
    yield f"{indent}{flow_text(name)}:"
    for key, part in value.items():
        yield from _field(key, part, f"{indent}  ")
