"""Texts of a few lines that stand for more than there is memory, and others that mean harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_spec import SMALL

import specs
from specs.document import parse_document
from specs.edit import append_teacher
from specs.limits import MOST_BYTES
from specs.problems import MOST_SHOWN


def doubled(kind: str, levels: int = 12) -> str:
    """Each line has the one above it nine times: nine to the power of the number of lines."""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for level in range(1, levels):
        before = ", ".join([f"*a{level - 1}"] * 9)
        value = {
            "merge": f"{{<<: [{before}]}}",
            "list": f"[{before}]",
            "nested": f"{{b: [{before}]}}",
        }
        lines.append(f"a{level}: &a{level} {value[kind]}")
    return "\n".join(lines)


# What is refused -> words of the message, which has a line and says what to do.
HOSTILE = {
    doubled("merge"): "`<<` brings in more than 10,000 fields",
    doubled("merge", 40): "`<<` brings in more than 10,000 fields",
    doubled("list"): "stands for more than 50,000 values",
    doubled("nested"): "stands for more than 50,000 values",
    "a: &a {<<: [*b]}\n": "no anchor is called",
    "[" * 40_000: "nested more than 50 deep",
    "{" * 40_000: "nested more than 50 deep",
    "a: " + "[" * 300_000 + "]" * 300_000: "nested more than 50 deep",
    "{a: " * 40_000 + "}" * 40_000: "nested more than 50 deep",
    "- " * 40_000: "nested more than 50 deep",
    "? " * 40_000: "nested more than 50 deep",
    "".join(f"{' ' * deep}a:\n" for deep in range(600)): "nested more than 50 deep",
    "".join(f"k{n}: 1\n" for n in range(90_000)): "holds more than 50,000 values",
    "".join(f"k{n}: 1\n" for n in range(5000)): "holds 5,000 items, more than 2,000",
    f"teachers: [{', '.join(['{}'] * 3000)}]": "holds 3,000 items, more than 2,000",
    f"[{', '.join(['[]'] * 100_000)}]": "holds more than 50,000 values",
    "---\n" * 100_000: "holds more than 50,000 values",
    "name: " + "x" * MOST_BYTES: "has more than 1,048,576 bytes",
    "# nothing\n" * 200_000: "has more than 1,048,576 bytes",
    "a: !!python/object/apply:os.system [ls]": "is not allowed",
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_it_is_refused_with_line_and_remedy(text: str, words: str) -> None:
    with pytest.raises(specs.SpecError) as caught:
        specs.load_text(text)
    said = str(caught.value)
    assert words in said
    assert len(said) < 100_000
    problem = next(each for each in caught.value.problems if words in str(each))
    assert problem.file == "nexus.yaml"
    assert problem.line
    assert problem.remedy or "not allowed" in words


@pytest.mark.parametrize("text", [text for text in HOSTILE if "!!" not in text], ids=range(19))
def test_nothing_is_added_to_it_either(text: str) -> None:
    with pytest.raises(specs.SpecError):
        append_teacher(text, {"id": "new"})


def test_a_file_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "nexus.yaml"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)  # sparse: it takes no disk
    with pytest.raises(specs.SpecError, match="has more than 1,048,576 bytes"):
        specs.load(file)


def test_of_many_problems_the_first_are_shown_and_the_others_counted() -> None:
    with pytest.raises(specs.SpecError) as caught:
        specs.load_text(SMALL + "".join(f"unknown_{n}: 1\n" for n in range(1500)))
    *shown, last = caught.value.problems
    assert len(shown) == MOST_SHOWN
    assert all(problem.message == "unknown field" for problem in shown)
    assert [problem.line for problem in shown] == sorted(problem.line or 0 for problem in shown)
    assert last.message == f"and {1500 - MOST_SHOWN:,} more problems"
    assert last.count == 1500 - MOST_SHOWN
    assert len(str(caught.value)) < 60_000


MANY = {
    # Each of these is compared with all the others: problems by the million.
    "isolated": "capabilities:\n"
    + "".join(f"  c{n}: {{dataset: d, isolated: true}}\n" for n in range(1900)),
    # Each names all names that would be right, and the one that is nearest.
    "unknown": "datasets:\n"
    + "".join(f"  d{n}: {{sample: functions}}\n" for n in range(1900))
    + "capabilities:\n"
    + "".join(f"  c{n}: {{dataset: e{n}, metric: exact_match}}\n" for n in range(1900)),
    "served": "teachers:\n"
    + "".join(f"  - {{id: t{n}, capabilities: [c{n}]}}\n" for n in range(1900))
    + "capabilities:\n"
    + "".join(f"  d{n}: {{dataset: d}}\n" for n in range(1900)),
    "to fill in": "".join(f"k{n}: 1\n" for n in range(1900)) + "# FILL IN: x\n" * 50_000,
    "long names": f"a: &a {'x' * 100_000}\ncapabilities:\n"
    + "".join(f"  c{n}: {{dataset: *a}}\n" for n in range(1900))
    + "datasets: {d: {sample: functions}}",
    "long keys": "".join(f"? k{n}{'x' * 1000}\n: 1\n" for n in range(900)),
}


@pytest.mark.parametrize("text", MANY.values(), ids=MANY)
def test_problems_without_end_are_not_all_put_into_words(text: str) -> None:
    with pytest.raises(specs.SpecError) as caught:
        specs.load_text(text)
    assert len(caught.value.problems) <= MOST_SHOWN + 1
    assert len(str(caught.value)) < 500_000


def test_what_is_within_the_limits_is_read() -> None:
    deep = "a: " + "[" * 49 + "]" * 49
    assert parse_document(deep, "f").data is not None
    merged = "a: &a {x: 1}\n" + "".join(f"b{n}: {{<<: *a}}\n" for n in range(1000))
    assert parse_document(merged, "f").data["b999"] == {"x": 1}


def test_capabilities_that_some_disks_take_for_one_are_told() -> None:
    text = SMALL.replace("capabilities:\n", "capabilities:\n  Tools: {dataset: x, metric: f1}\n", 1)
    with pytest.raises(specs.SpecError, match="differ in case alone"):
        specs.load_text(text)
