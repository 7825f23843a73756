"""Specs and locks that mean harm, as the commands meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from nexusbuild.cli import main
from nexusbuild.errors import BuildError
from nexusbuild.graph import ResolveError
from nexusbuild.lock import read_lock
from specs.problems import MOST_SHOWN
from targets.commands.lock_file import lock_values_of


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
