"""Text in and out: the tokenizer file alone against AutoTokenizer, and text that grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from nexus.prompt import cut, render
from nexus.tokens import Tokens

TEXTS = st.text(max_size=40)


@settings(max_examples=80, deadline=None)
@given(TEXTS)
def test_ids_and_text_are_those_of_auto_tokenizer(student_tokenizer: Path, text: str) -> None:
    theirs = AutoTokenizer.from_pretrained(student_tokenizer)
    ours = Tokens(student_tokenizer)
    ids = ours.encode(text)
    assert ids == theirs(text).input_ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_pieces_join_to_the_cut_text(student_tokenizer: Path, text: str, stops: list[str]) -> None:
    tokens = Tokens(student_tokenizer)
    ids = tokens.encode(text)
    pieces = list(tokens.pieces(ids, stops))
    assert "".join(pieces) == cut(tokens.decode(ids), stops)
    assert all(pieces)


def test_pieces_do_not_wait_for_the_end(student_tokenizer: Path) -> None:
    tokens = Tokens(student_tokenizer)
    assert len(list(tokens.pieces(tokens.encode("call a tool please")))) > 1


@pytest.mark.parametrize(
    ("text", "stops", "kept"),
    [
        ("a.b;c", (";",), "a.b"),
        ("a.b;c", (";", "."), "a"),
        ("abc", (), "abc"),
        ("abc", ("",), "abc"),
    ],
)
def test_an_answer_is_cut_at_the_first_stop(text: str, stops: tuple[str, ...], kept: str) -> None:
    assert cut(text, stops) == kept


def test_braces_in_a_prompt_are_left_alone() -> None:
    assert render("Q: {prompt}\nA:", "{prompt} {x}") == "Q: {prompt} {x}\nA:"
