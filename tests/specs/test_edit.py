"""Additions keep every other character."""

import difflib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from specs.document import parse_document
from specs.edit import EditError, append, append_capability, append_dataset, append_teacher
from tests.specs.small_spec import SMALL

SAMPLE = (Path(specs.__file__).parent.parent / "nexus.yaml").read_text(encoding="utf-8")
TEACHER = {"id": "poet", "source": {"path": "models/poet"}, "capabilities": ["reasoning"]}


def added(before: str, after: str) -> list[str]:
    """The lines that were added; nothing may have been removed."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert [line for line in lines if line.startswith("- ")] == []
    return [line[2:] for line in lines if line.startswith("+ ")]


def test_a_teacher_for_the_sample() -> None:
    assert added(SAMPLE, append_teacher(SAMPLE, {**TEACHER, "licence": "MIT"})) == [
        "  - id: poet",
        "    source: {path: models/poet}",
        "    capabilities: [reasoning]",
        "    licence: MIT",
        "",
    ]


def test_a_capability_and_its_data_for_the_sample() -> None:
    text = append_dataset(SAMPLE, "poems", {"path": "data/poems.jsonl", "licence": "MIT"})
    text = append_capability(text, "verse", {"dataset": "poems", "metric": "rouge_l"})
    assert added(SAMPLE, text) == [
        "  poems: {path: data/poems.jsonl, licence: MIT}",
        "  verse:",
        "    dataset: poems",
        "    metric: rouge_l",
    ]
    text = append_teacher(text, {**TEACHER, "licence": "MIT", "capabilities": ["verse"]})
    assert ", verse]\n" in text.partition("\n  include: [")[2]
    before, after = (specs.load_text(each).included_capabilities() for each in (SAMPLE, text))
    assert set(after) == {*before, "verse"} and len(after) == len(before) + 1


def test_what_ships_already_is_not_named_twice() -> None:
    assert "include: [reasoning, tools]" in append_teacher(SMALL, TEACHER)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: [1, 2]\n", "a: [1, 2, 9]\n"),
        ("a: []  # none\n", "a: [9]  # none\n"),
        ("a: [1,  # one\n    2,  # two\n]\nb: 1\n", "a: [1,  # one\n    2, 9,  # two\n]\nb: 1\n"),
        ("a:\n- 1\n- 2\n\n# of b\nb: 1\n", "a:\n- 1\n- 2\n- 9\n\n# of b\nb: 1\n"),
        ("a:\n  - 1\n\n  - 2\nb: 1", "a:\n  - 1\n\n  - 2\n\n  - 9\nb: 1"),
        ("a:\n  - 1", "a:\n  - 1\n  - 9\n"),
        ("a:\n  - |\n    x\n    y\nb: 1\n", "a:\n  - |\n    x\n    y\n  - 9\nb: 1\n"),
        ("a:\n  - {x: 1}\n    # of the one above\nb: 1\n",
         "a:\n  - {x: 1}\n    # of the one above\n  - 9\nb: 1\n"),
        ("a:\nb: 1\n", "a:\n  - 9\nb: 1\n"),
        ("b: 1\n", "b: 1\n\na:\n  - 9\n"),
        ("{b: 1}\n", "{b: 1, a: [9]}\n"),
        ("a:\r\n  - 1\r\nb: 2\r\n", "a:\r\n  - 1\r\n  - 9\r\nb: 2\r\n"),
        ("a:\n  - x: &one {k: 1}\n    y: *one\nb: 1\n",
         "a:\n  - x: &one {k: 1}\n    y: *one\n  - 9\nb: 1\n"),
    ],
)  # fmt: skip
def test_lists_of_every_style(before: str, after: str) -> None:
    assert append(before, ("a",), 9) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: {x: 1}\n", "a: {x: 1, z: {k: 9}}\n"),
        ("a: {}\n", "a: {z: {k: 9}}\n"),
        ("a:\n  x: {k: 1}  # flow\nb: 1\n", "a:\n  x: {k: 1}  # flow\n  z: {k: 9}\nb: 1\n"),
        ("a:\n  x:\n    k: 1\n", "a:\n  x:\n    k: 1\n  z:\n    k: 9\n"),
        ("a:\n  x:\nb: 1\n", "a:\n  x:\n  z:\n    k: 9\nb: 1\n"),
        ("b: 1\n", "b: 1\n\na:\n  z:\n    k: 9\n"),
    ],
)
def test_mappings_of_every_style(before: str, after: str) -> None:
    assert append(before, ("a",), {"k": 9}, key="z") == after


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "b: &x [1]\na: *x\n", "a: 5\n", "a: {k: 1}\n", "[1]\n"]
)
def test_what_is_not_certain_is_left_to_the_person(text: str) -> None:
    with pytest.raises(EditError, match="add by hand: 9"):
        append(text, ("a",), 9)


def test_a_name_that_is_there() -> None:
    with pytest.raises(EditError, match=r"capabilities\.tools is there already"):
        append_capability(SMALL, "tools", {"dataset": "sums", "metric": "final_answer"})


@settings(max_examples=100, deadline=None)
@given(
    st.text(min_size=1, max_size=12),
    st.lists(st.text(max_size=6), min_size=1, max_size=3),
    st.sampled_from([SMALL, SAMPLE, SMALL.replace("\n", "\r\n")]),
)
def test_any_text_survives(identity: str, capabilities: list[str], before: str) -> None:
    # What UTF-8 cannot hold, no file can.
    if any("\ud800" <= letter <= "\udfff" for letter in identity + "".join(capabilities)):
        return
    teacher = {"id": identity, "source": {"path": identity}, "capabilities": capabilities}
    after = append(before, ("teachers",), teacher)
    assert parse_document(after, "").data["teachers"][-1] == teacher
    kept = iter(after.splitlines(keepends=True))
    assert all(line in kept for line in before.splitlines(keepends=True)), "in order, unchanged"
