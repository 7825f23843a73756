"""Specs made wrong at random: read, or refused with what to do, in little memory.

NEXUS_FUZZ_EXAMPLES says how many are tried.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_spec import SMALL

import specs
from specs.edit import EditError, append_teacher

pytestmark = pytest.mark.slow
fuzzed = settings(
    max_examples=int(os.environ.get("NEXUS_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
MEGABYTES = 200

PIECES = st.sampled_from(
    ["[", "]", "{", "}", ": ", ", ", "- ", "? ", "&a ", "*a", "<<: *a", "<<: [*a, *a, *a]", "<<",
     "!!int ", "!x ", "'", '"', "|\n", ">\n", "#", "# FILL IN: x", "---\n", "...\n", "\t", "\n",
     "%YAML 1.1\n", "\n  ", "~", "null", "1e999", "9" * 5000, "-.inf", "\u202e", "\x1b", "\x00",
     "\ufeff", "\u2028", "[" * 100, "{a: " * 60, "- " * 100, "x" * 3000, "id: scholar", "\\",
     "capabilities: [reasoning]", "isolated: true", "dataset: word_problems", "include: []"]
)  # fmt: skip
DOUBLED = st.integers(1, 30).map(
    lambda levels: (
        "a0: &a0 {x: 1}\n"
        + "".join(
            f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}]}}\n" for n in range(1, levels)
        )
    )
)
MANY = st.tuples(
    st.sampled_from(["k{}: 1\n", "- k{}\n", "? k{}\n", "k{}: &a [*a]\n"]), st.integers(1, 3000)
).map(lambda drawn: "".join(drawn[0].format(number) for number in range(drawn[1])))
OWN = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


def cut_up(data: st.DataObject) -> str:
    """A sound spec with pieces moved, taken out and put in."""
    text = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 60)))
        new = data.draw(st.sampled_from(["", text[start:end] * 2]) | OWN | DOUBLED | MANY)
        text = text[:start] + new + text[end:]
    return text


@fuzzed
@given(data=st.data())
def fuzz_specs(file: Path, data: st.DataObject) -> None:
    text = data.draw(OWN | DOUBLED | MANY) if data.draw(st.integers(0, 3)) == 0 else cut_up(data)
    try:
        specs.load_text(text)
    except specs.SpecError as error:
        assert error.problems
        assert len(str(error)) < 500_000
        for problem in error.problems:
            assert problem.file == "nexus.yaml"
            assert problem.line is None or 1 <= problem.line <= len(text.splitlines()) + 1
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for call in (lambda: specs.load(file), lambda: append_teacher(text, {"id": "new"})):
        try:
            call()
        except (specs.SpecError, EditError):
            continue


def test_specs(tmp_path: Path) -> None:
    before = _peak()
    fuzz_specs(tmp_path / "nexus.yaml")
    assert _peak() - before < MEGABYTES
    assert [path.name for path in tmp_path.iterdir()] == ["nexus.yaml"]


def _peak() -> int:
    """The most memory that the process ever took, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
