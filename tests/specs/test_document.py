"""Reading YAML with places."""

import pytest

from specs.document import parse_document
from specs.problems import SpecError


def data(text: str) -> object:
    document = parse_document(text, "x.yaml")
    assert not document.problems
    return document.data


def test_core_schema() -> None:
    text = "[yes, no, on, true, False, 010, 1e-3, 1_000, ~, null, 2024-01-01, 1:30, 0.5, -3, .5]"
    assert data(text) == [
        "yes", "no", "on", True, False, 10, 0.001, "1_000", None, None, "2024-01-01", "1:30", 0.5,
        -3, 0.5,
    ]  # fmt: skip


def test_keys_are_names() -> None:
    assert data("{1: a, true: b, null: c}") == {"1": "a", "true": "b", "null": "c"}


def test_anchors_and_merge_keys() -> None:
    text = """\
base: &base {steps: 1, batch: 2}
one: {<<: *base, steps: 3}
two: {batch: 4, <<: [{steps: 9}, *base]}
three: *base
"""
    assert data(text) == {
        "base": {"steps": 1, "batch": 2},
        "one": {"steps": 3, "batch": 2},
        "two": {"batch": 4, "steps": 9},
        "three": {"steps": 1, "batch": 2},
    }


def test_places() -> None:
    document = parse_document("a:\n  - id: x\n    n: 12\n  - 7\n", "x.yaml")
    key, value = document.keys[("a", 0, "n")], document.values[("a", 0, "n")]
    assert (key.line, key.column, key.length) == (3, 5, 1)
    assert (value.line, value.column, value.length) == (3, 8, 2)
    assert document.dotted(("a", 0, "n")) == "a.x.n"
    assert document.dotted(("a", 1)) == "a[1]"
    assert document.problem(("a", 0, "zz"), "gone").line == 2


def test_byte_order_mark_and_windows_lines(tmp_path: object) -> None:
    assert data("a: 1\r\nb: [2,\r\n 3]\r\n") == {"a": 1, "b": [2, 3]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_nothing(text: str) -> None:
    if text == "---\n":
        assert data(text) is None
        return
    with pytest.raises(SpecError, match="is empty"):
        parse_document(text, "x.yaml")


def test_two_documents() -> None:
    with pytest.raises(SpecError, match="expected a single document"):
        parse_document("a: 1\n---\nb: 2\n", "x.yaml")
