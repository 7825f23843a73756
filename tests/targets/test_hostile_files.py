"""Specs, locks and texts that mean harm, as the commands meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from nexus.printable import printable
from nexusbuild.cli import main
from nexusbuild.errors import BuildError
from nexusbuild.plugins import ResolveError
from nexusbuild.readable import escape_controls
from nexusbuild.rule.lock import read_lock
from nexusbuild.show.streams import say, warn
from nexusbuild.show.wording import show_rows
from specs.problems import MOST_SHOWN
from targets.commands.items import side_by_side
from targets.commands.lock_file import lock_values_of
from targets.gate.items import Item, Items
from targets.report.markup import tag

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")


def doubled(form: str) -> str:
    """Each line has the one above it nine times."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, 12):
        before = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {form.format(before)}")
    return "\n".join(lines)


LOCK = "nexus_lock: 1\npins: {}\nvalues:\n  tokenizer: {datasets: [a]}\n"
LOCKS = [
    LOCK + doubled("{{<<: [{}]}}"),
    LOCK + doubled("[{}]"),
    LOCK + "a: " + "[" * 40_000 + "]" * 40_000,
    LOCK + "a: &a 1\nb: *a\n",
    LOCK + "".join(f"{' ' * deep}a:\n" for deep in range(600)),
    "[" * 40_000,
]


@pytest.mark.parametrize("text", LOCKS, ids=range(len(LOCKS)))
def test_a_lock_is_as_plain_as_it_was_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "nexus.lock").write_text(text, encoding="utf-8")
    with pytest.raises(BuildError, match=r"nexus\.lock"):
        read_lock(tmp_path / "nexus.lock")
    with pytest.raises(ResolveError, match=r"nexus\.lock"):
        lock_values_of(tmp_path / "nexus.yaml")


def test_a_lock_that_is_plain_is_read_alike_by_both(tmp_path: Path) -> None:
    (tmp_path / "nexus.lock").write_text(LOCK, encoding="utf-8")
    values = read_lock(tmp_path / "nexus.lock").values
    assert values == lock_values_of(tmp_path / "nexus.yaml") == yaml.safe_load(LOCK)["values"]


def test_the_command_says_all_that_in_a_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nexus.yaml"
    known = "nexus: 1\nname: small\n"
    file.write_text(known + "".join(f"unknown_{n}: 1\n" for n in range(1500)), encoding="utf-8")
    assert main(["check", "-f", str(file), "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert len(errors) == MOST_SHOWN + 1
    assert main(["check", "-f", str(file)]) == 2
    *_, more, remedy, total = capsys.readouterr().err.splitlines()
    assert more.endswith(errors[-1]["message"])
    assert errors[-1]["remedy"] in remedy
    # Sections that are missing are among them.
    assert int(total.removesuffix(" problems found").replace(",", "")) > 1500
    file.write_text("[" * 40_000, encoding="utf-8")
    for command in (["check"], ["--dry-run"], ["lock"], ["data", "show", "x"]):
        assert main([*command, "-f", str(file)]) == 2
        assert "nested more than 50 deep" in capsys.readouterr().err


OBEYED = ("\x1b", "\x9b", "\x07", "\x7f", "\u202e", "\u2066")
NOISE = "\x1b[2J\x9b1m\x07\x7f\u202e\u2066"
SHOWN = "\\u001b[2J\\u009b1m\\u0007\\u007f\\u202e\\u2066"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert not any(letter in text for letter in OBEYED), ascii(text)
    return text


def test_a_spec_moves_nothing_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = TINY.replace("\nteachers:", f"\n  noisy: {{path: {json.dumps(NOISE)}}}\nteachers:", 1)
    text += f"{json.dumps(NOISE)}: 1\n"
    (tmp_path / "nexus.yaml").write_text(text, encoding="utf-8")
    for command in (
        ["check"],
        ["--dry-run"],
        ["why", NOISE],
        ["data", "show", "noisy"],
    ):
        assert main(command) == 2
        assert SHOWN in said(capsys)
    assert main(["check", "--json"]) == 2
    assert json.loads(said(capsys))["errors"]


def test_rows_move_nothing_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f'{{"prompt": "p{n} {SHOWN}", "response": "{n} {SHOWN}"}}' for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = (
        "\n  noisy: {path: rows.jsonl, licence: MIT, eval: 6, validation: 4, pilot: 3}\nteachers:"
    )
    (tmp_path / "nexus.yaml").write_text(TINY.replace("\nteachers:", rows, 1), encoding="utf-8")
    assert main(["data", "show", "noisy"]) == 0
    assert SHOWN in said(capsys)
    assert main(["data", "show", "noisy", "--json"]) == 0
    assert NOISE in json.loads(said(capsys))["examples"]["train"][0]["prompt"]


def test_answers_side_by_side_move_nothing_on_the_screen() -> None:
    item = Item("r", NOISE, NOISE, f"one {NOISE}", f"two {NOISE}", 1, 0, -1, False)
    items = Items("verse", "one", "exact_match", "fail", False, (item,))
    text = "\n".join(side_by_side(items, item, "1 of 1", 200))
    assert text.count(SHOWN) == 4
    assert not any(letter in text for letter in OBEYED)


def test_a_page_holds_it_as_text() -> None:
    element = tag("p", NOISE, title=NOISE)
    assert (element.text, element.get("title")) == (SHOWN, SHOWN)


def test_colours_are_the_builders_own(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"built   {NOISE}", "32", letters=7)
    warn(NOISE)
    show_rows([("failed", f"gate:x{NOISE}", f"one\nfresh   gate:y {NOISE}")])
    assert said(capsys).count(SHOWN) == 4


def test_the_builder_and_the_runtime_show_every_letter_alike() -> None:
    """Neither may import the other, so each has the function."""
    for code in range(0x110000):
        assert escape_controls(chr(code)) == printable(chr(code))
    assert escape_controls("a\r\nb\rc") == printable("a\r\nb\rc") == "a\r\nb\\u000dc"
