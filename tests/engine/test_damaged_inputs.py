"""An input that was damaged so that no stat shows it: found before it is read, and made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_damage import spoil
from toy_project import Toy

from nexusbuild.digest import digests as digest_module
from nexusbuild.store import store as store_module


def damage(toy: Toy, target: str, file: str = "out.txt") -> None:
    spoil((toy.folder / "build" / target.replace(":", "/") / file).resolve())


def test_a_damaged_input_is_made_again_and_not_read(built: Toy) -> None:
    """The result would stand under a key that names the whole one."""
    damage(built, "step:a")
    built.settings("step:b", fixed="x")
    expected = built.copied(built.folder.parent / "honest")
    assert built.run("--dry-run").returncode == 0
    document = built.json()
    states = {each["id"]: each["state"] for each in document["targets"]}
    assert states["step:b"] == "built"
    assert any(
        "step:a: out.txt was damaged in the store; it is made again" in note
        for note in document["notes"]
    )
    assert built.run("doctor", "--verify-store").returncode == 0
    expected.build("--force", "step:a", "step:a")
    assert built.digests() == expected.digests()


def test_a_damaged_file_of_which_only_another_is_read(built: Toy) -> None:
    """`other` reads fixed.txt alone: the rest of data:words is nothing to it."""
    damage(built, "data:words", "out.txt")
    built.settings("other", fixed="y")
    document = built.json("other")
    assert not any("damaged" in note for note in document["notes"])
    damage(built, "data:words", "fixed.txt")
    built.settings("other", fixed="z")
    document = built.json("other")
    assert any("data:words#fixed.txt: fixed.txt was damaged" in each for each in document["notes"])


def test_what_made_it_is_damaged_too(built: Toy) -> None:
    before = built.digests()
    for target in ("data:words", "step:a"):
        damage(built, target)
    built.settings("step:b", fixed="x")
    assert "step:b" in built.built()
    del built.spec["targets"]["step:b"]["settings"]
    built.save()
    assert built.digests() == before
    assert built.run("doctor", "--verify-store").returncode == 0


def test_a_damaged_input_that_cannot_be_made_again_stops_the_target(built: Toy) -> None:
    damage(built, "data:words")
    (built.folder / "words.txt").unlink()
    built.settings("step:a", fixed="x")
    done = built.run("step:a")
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "was damaged in the store" in done.stderr
    assert "its source 'words' is missing" in done.stderr


def test_each_object_is_hashed_once_in_a_build(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toy.target("data", settings={"fixed": "x"})
    for name in ("a", "b", "c"):
        toy.target(name, inputs={"data": "data", "again": "data#out.txt"})
    toy.build()
    for name in ("a", "b", "c"):
        toy.settings(name, fixed="y")
    hashed = tmp_path / "hashed"

    def counting(path: str | Path) -> str:
        with hashed.open("a") as file:
            file.write(f"{Path(path).name}\n")
        return digest_module.hash_file(path)

    monkeypatch.setattr(store_module, "hash_file", counting)
    assert toy.built() == {"a", "b", "c"}
    names = hashed.read_text().split()
    assert len(names) == len(set(names)) == 2  # out.txt and fixed.txt of `data`
    # What this build itself wrote is known.
    hashed.unlink()
    toy.settings("data", fixed="z")
    assert toy.built() == {"data", "a", "b", "c"}
    assert not hashed.exists()
