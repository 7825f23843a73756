"""Text from outside on a terminal: what a terminal would obey is shown, and obeyed by none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile import edit, edit_manifest
from hypothesis import given
from hypothesis import strategies as st

from nexus.cli import main
from nexus.printable import printable

OBEYED = ("\x1b", "\x9b", "\x07", "\x08", "\x7f", "\u202e", "\u2066", "\r")


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bundles["none"], tmp_path / "bundle")


@pytest.fixture
def shouting(bundle: Path) -> Path:
    """A bundle whose answers would clear the screen, and move what was written."""
    noise = "\x1b[2J\x9b1m\u202e\x07\r\n\t"

    def change(file: dict[str, Any]) -> None:
        step = {"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": noise}
        file["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteLevel"}, step]}
        file["decoder"]["decoders"][0] = {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        }

    edit(bundle, "tokenizer/tokenizer.json", change)
    return bundle


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    text = (captured.out + captured.err).replace("\r\n", "\n")
    assert not any(letter in text for letter in OBEYED), ascii(text)
    return text


def test_an_answer_is_shown_and_not_obeyed(
    shouting: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(shouting), "add seven", "--capability", "sums"]) == 0
    text = said(capsys)
    assert "\\u001b[2J\\u009b1m\\u202e\\u0007\n\t" in text  # lines and tabs are an answer's own
    lines = iter(["/use sums", "add seven", "/use \x1b[31m", "/\x1b[31m", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    assert main(["chat", str(shouting)]) == 0
    assert "\\u001b[2J" in said(capsys)


def test_names_are_shown_and_not_obeyed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = "\x1b]0;title\x07\x9b2J\u202etxt\ud800"

    def change(manifest: dict[str, Any]) -> None:
        manifest["name"] = "bundle\x1b[2J\u202e"
        manifest["capabilities"]["sums"]["dataset"] = noise
        manifest["capabilities"]["calls"]["dataset"] = {noise: [noise]}

    edit_manifest(bundle, change)
    assert main(["info", str(bundle)]) == 0
    text = said(capsys)
    assert "bundle\\u001b[2J\\u202e" in text
    assert "\\u001b]0;title\\u0007\\u009b2J\\u202etxt\\ud800" in text
    assert main(["info", str(bundle), "--json"]) == 0
    assert json.loads(said(capsys))["capabilities"]["sums"]["dataset"] == noise
    assert main(["verify", str(bundle)]) == 0
    assert "\\u001b[2J" in said(capsys)
    (bundle / "\x1b[2J\u202e.md").write_bytes(b"")
    for command in (["verify", str(bundle)], ["run", str(bundle), "add"], ["info", "\x1b[2J"]):
        assert main(command) == 1
        assert "\\u001b[2J" in said(capsys)


@given(st.text(st.characters(max_codepoint=0x2100) | st.characters(categories=["Cs"])))
def test_whatever_is_shown_can_be_written_and_moves_nothing(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert printable(shown) == shown
    assert not any(letter in shown.replace("\r\n", "\n") for letter in OBEYED)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_stays_json_and_says_the_same(value: Any) -> None:
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_ordinary_text_of_every_script_stays(text: str) -> None:
    assert printable(text) == text
