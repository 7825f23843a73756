"""Broken specs, each with exactly what is said of it.

`broken_specs.txt` holds them as people see them: `## name`, the edits of the small spec (`- old`,
`+ new`; `= text` for another file altogether), and the message.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

import specs
from tests.specs.small_spec import SMALL

TABLE = Path(__file__).with_name("broken_specs.txt")


@dataclass(frozen=True)
class Broken:
    name: str
    text: str
    message: str


def broken_specs() -> list[Broken]:
    found = []
    for block in TABLE.read_text(encoding="utf-8").split("## ")[1:]:
        name, *lines = block.rstrip("\n").split("\n")
        edits = [line for line in lines if line[:2] in ("- ", "+ ", "= ")]
        text = SMALL
        for line in edits:
            value = line[2:].encode().decode("unicode_escape")
            if line[0] == "-":
                assert value in text, f"{name}: {value!r} is not in the small spec"
                old = value
            elif line[0] == "+":
                text = text.replace(old, value, 1)
            else:
                text = value
        found.append(Broken(name, text, "\n".join(lines[len(edits) :])))
    return found


def test_nothing_is_wrong_with_the_small_spec() -> None:
    assert specs.load_text(SMALL).name == "small"


@pytest.mark.parametrize("broken", broken_specs(), ids=lambda broken: broken.name)
def test_message(broken: Broken) -> None:
    with pytest.raises(specs.SpecError) as raised:
        specs.load_text(broken.text)
    assert str(raised.value) == broken.message


def test_there_are_at_least_sixty_and_no_two_alike() -> None:
    names = [broken.name for broken in broken_specs()]
    assert len(names) == len(set(names)) >= 60


def test_every_mistake_is_found_in_one_run() -> None:
    text = SMALL
    for old, new in [
        ("name: small", "nmae: small"),
        ("rows: 3000", "rows: many"),
        ("id: operator", "id: scholar"),
        ("metric: json_equal", "metric: json"),
        ("retain_fraction: 0.97", "retain_fraction: 1.5"),
        ("include: [reasoning, tools]", "include: [reasoning, painting]"),
    ]:
        text = text.replace(old, new)
    with pytest.raises(specs.SpecError) as raised:
        specs.load_text(text)
    places = [(problem.line, problem.field) for problem in raised.value.problems]
    assert places == [
        (1, "name"),
        (2, "nmae"),
        (4, "datasets.sums.rows"),
        (10, "teachers.scholar.id"),
        (17, "capabilities.tools.metric"),
        (19, "contracts.reasoning.retain_fraction"),
        (25, "bundle.include[1]"),
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(specs.SpecError, match=r"nexus\.yaml: no such file"):
        specs.load(tmp_path / "nexus.yaml")


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(specs.SpecError, match="cannot be read: Is a directory"):
        specs.load(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "nexus.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(specs.SpecError, match="not UTF-8: byte 0xff at offset 6"):
        specs.load(path)


def test_a_place_is_named_as_seen_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "nexus.yaml").write_text("name: x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(specs.SpecError) as raised:
        specs.load(tmp_path / "a" / "nexus.yaml")
    assert {problem.file for problem in raised.value.problems} == {"a/nexus.yaml"}


def test_long_lines_are_cut_around_the_mistake() -> None:
    long = ", ".join(f"name_{number}" for number in range(60))
    text = SMALL.replace("include: [reasoning, tools]", f"include: [{long}, reasoning, tools]")
    with pytest.raises(specs.SpecError) as raised:
        specs.load_text(text)
    for problem in raised.value.problems:
        shown, underline = problem.excerpt.split("\n")
        assert len(shown) <= 110
        start = underline.index("^")
        assert shown[start : len(underline)].startswith("name_")


def test_wide_letters_are_underlined_where_they_stand() -> None:
    with pytest.raises(specs.SpecError) as raised:
        specs.load_text(SMALL.replace("response: call, licence: MIT}", "licence: 自由, lizenz: 1}"))
    excerpts = [problem.excerpt.split("\n")[1] for problem in raised.value.problems]
    assert [underline.count("^") for underline in excerpts] == [4, 6]
    assert excerpts[1].index("^") - excerpts[0].index("^") == len("自由, ") + 2
