"""Additions to files of every layout: comments, order, quoting, anchors and line ends survive."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.document import parse_document
from specs.edit import EditError, append_capability, append_dataset, append_teacher

NAMES = st.text("abcxyz0189_-", min_size=1, max_size=8).filter(lambda name: name[0].isalnum())
TEXTS = st.sampled_from(["a b", "it's", 'say "x"', "c: d", "#1", "100%", "é", "- x", "yes", "12"])
COMMENTS = st.sampled_from(["", "  # why", " # {not: yaml}", "   #\ttabbed ' \""])
BETWEEN = st.lists(
    st.sampled_from(["", "# about the next", "#", "   # deep", "# - id: old"]), max_size=2
)


@st.composite
def scalars(draw: st.DrawFn) -> str:
    """A value in one of YAML's styles."""
    text = draw(NAMES | TEXTS)
    style = draw(st.sampled_from(["single", "double"]))
    if style == "single":
        return "'" + text.replace("'", "''") + "'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def teachers(draw: st.DrawFn, number: int, indent: str) -> list[str]:
    """The lines of one teacher."""
    comment = draw(COMMENTS)
    source = f"{{path: {draw(scalars())}}}"
    if draw(st.booleans()):
        return [f"{indent}- {{id: t{number}, source: {source}, capabilities: [c0]}}{comment}"]
    anchor = draw(st.sampled_from(["", f"&a{number} "]))
    lines = [
        f"{indent}- id: t{number}{comment}",
        f"{indent}  source: {anchor}{source}",
        *draw(BETWEEN),
        f"{indent}  capabilities: [c0]{draw(COMMENTS)}",
    ]
    if draw(st.booleans()):
        lines += [f"{indent}  best_feature: |", f"{indent}    {draw(NAMES)}", f"{indent}    # text"]
    return lines


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file with the sections that are added to, in any order and layout."""
    indent = draw(st.sampled_from(["", "  ", "    "]))
    listed = ["teachers:" + draw(COMMENTS), *draw(BETWEEN)]
    for number in range(draw(st.integers(1, 3))):
        listed += [*draw(teachers(number, indent)), *draw(BETWEEN)]
    capabilities = draw(
        st.sampled_from(
            [
                ["capabilities: {c0: {dataset: d0, metric: rouge_l}}"],
                ["capabilities:", "  # first", "  c0: {dataset: d0, metric: rouge_l}"],
                [
                    "capabilities:",
                    "    c0:",
                    "        dataset: d0   # its own",
                    "        metric: rouge_l",
                ],
            ]
        )
    )
    datasets = draw(
        st.sampled_from(
            [["datasets: {}"], ["datasets:"], ["datasets:", "  d0: &d {path: x}", "  d1: *d"], []]
        )
    )
    bundle = draw(
        st.sampled_from(
            [[], ["bundle:", "  include: [c0]  # ships"], ["bundle:", "  include:", "  - c0"]]
        )
    )
    sections = draw(st.permutations([listed, capabilities, datasets, bundle, ["name: 'x'  # n"]]))
    lines = [line for section in sections for line in [*section, *draw(BETWEEN)]]
    text = draw(st.sampled_from(["\n", "\r\n"])).join(lines)
    return text + draw(st.sampled_from(["", "\n"]))


def data(text: str) -> Any:
    """What the text says; a block of text at its end, too, ends with its line."""
    return parse_document(text if text.endswith("\n") else f"{text}\n", "x.yaml").data


def untouched(before: str, after: str) -> None:
    """Every line is there, in order, byte for byte; a list on one line may have grown."""
    end = "\r\n" if "\r\n" in before else "\n"
    lines = iter(f"{after}{end}".splitlines(keepends=True))
    for line in (before if before.endswith(end) else before + end).splitlines(keepends=True):
        for new in lines:
            if new == line or _with_more_inside(line, new):
                break
        else:
            raise AssertionError(f"gone: {line!r}")


def _with_more_inside(line: str, new: str) -> bool:
    """Whether `new` is `line` with one piece put in before a closing bracket or brace."""
    start = 0
    while start < min(len(line), len(new)) and line[start] == new[start]:
        start += 1
    rest = line[start:]
    return rest[:1] in ("]", "}", ",") and new.endswith(rest) and len(new) > len(line)


@settings(max_examples=80, deadline=None)
@given(files(), NAMES, TEXTS, st.booleans())
def test_what_is_parsed_is_what_was_and_the_addition(
    before: str, name: str, text: str, commented: bool
) -> None:
    was = data(before)
    teacher = {"id": f"n{name}", "source": {"path": text}, "capabilities": ["c0", "c9"]}
    comments = {"source": "FILL IN: where it lies", "licence": "FILL IN: licence: which"}
    after = append_dataset(before, "d9", {"path": text})
    after = append_capability(after, "c9", {"dataset": "d9", "metric": "rouge_l"})
    after = append_teacher(after, teacher, comments if commented else None)
    expected = {**was, "teachers": [*was["teachers"], teacher]}
    expected["datasets"] = {**(was.get("datasets") or {}), "d9": {"path": text}}
    expected["capabilities"] = {
        **was["capabilities"], "c9": {"dataset": "d9", "metric": "rouge_l"}
    }  # fmt: skip
    if "bundle" in was:
        expected["bundle"] = {"include": ["c0", "c9"]}
    assert data(after) == expected
    untouched(before, after)
    assert (after.count("\r\n") == after.count("\n")) == (
        before.count("\r\n") == before.count("\n")
    )
    if commented:
        assert "# FILL IN: where it lies" in after


def test_a_block_of_text_at_the_end_of_a_file_gets_its_end() -> None:
    text = "teachers:\n- id: a\n  best_feature: |\n    good"
    assert append_teacher(text, {"id": "b"}) == f"{text}\n- id: b\n"


def test_a_comment_has_no_place_in_a_list_on_one_line() -> None:
    text = "teachers: [{id: a}]\n"
    assert append_teacher(text, {"id": "b"}) == "teachers: [{id: a}, {id: b}]\n"
    with pytest.raises(EditError, match="add by hand"):
        append_teacher(text, {"id": "b"}, {"id": "FILL IN: more"})
