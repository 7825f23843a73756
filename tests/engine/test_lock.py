"""What the lock pins: it stays while it holds, and says when it would come out otherwise."""

from __future__ import annotations

import shutil

import pytest
import yaml
from toy_project import Toy

PINNED = {"tok", "base", "pack"}


@pytest.fixture
def pinned(toy: Toy) -> Toy:
    """data -> tok, base -> pack are pinned; adapter reads data and pack."""
    toy.write("words.txt", "some words")
    toy.spec["auto"] = {"base": 64}
    toy.spec["targets"] = {
        "data": {"sources": {"words": "words.txt"}},
        "tok": {"inputs": {"data": "data"}, "pin": "tok"},
        "base": {
            "inputs": {"data": "data", "tok": "tok"},
            "auto": {"width": "base"},
            "pin": "base",
        },
        "pack": {"inputs": {"base": "base"}, "pin": "base", "settings": {"bits": 8}},
        "adapter": {"inputs": {"pack": "pack", "data": "data"}},
    }
    toy.save()
    return toy


def lock_of(toy: Toy) -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
        (toy.folder / "nexus.lock").read_text()
    )
    return found


def test_the_first_build_writes_the_lock(pinned: Toy) -> None:
    pinned.build()
    lock = lock_of(pinned)
    assert lock["nexus_lock"] == 1
    assert lock["values"] == {"base": {"it": 64}}
    assert set(lock["pins"]) == PINNED
    assert list(lock["pins"]["base"]["sources"]) == ["data"]  # type: ignore[call-overload]
    text = (pinned.folder / "nexus.lock").read_text()
    assert str(pinned.folder) not in text
    pinned.build()
    assert (pinned.folder / "nexus.lock").read_text() == text


def test_rows_and_code_do_not_move_what_is_pinned(pinned: Toy) -> None:
    pinned.build()
    text = (pinned.folder / "nexus.lock").read_text()
    pinned.write("words.txt", "some words and another row")
    document = pinned.json("-n")
    assert any("lock --upgrade base" in note for note in document["notes"])
    assert pinned.built() == {"data", "adapter"}
    pinned.edit("toy/words.py", '"\\n".join', '" ".join')
    assert pinned.built() == {"data", "adapter"}
    assert (pinned.folder / "nexus.lock").read_text() == text
    # Only what is pinned is asked for: nothing below it is looked at.
    assert pinned.build("pack") == {"pack": "fresh"}


def test_values_come_from_the_lock(pinned: Toy) -> None:
    pinned.build()
    pinned.spec["auto"] = {"base": 128}
    pinned.save()
    assert set(pinned.build().values()) == {"fresh"}
    assert lock_of(pinned)["values"] == {"base": {"it": 64}}


def test_upgrade_follows_todays_inputs(pinned: Toy) -> None:
    pinned.build()
    pinned.write("words.txt", "some words and another row")
    pinned.build()
    done = pinned.run("lock", "--upgrade", "base")
    assert done.returncode == 0, done.stderr
    assert set(lock_of(pinned)["pins"]) == {"tok"}
    assert pinned.built() == {"base", "pack", "adapter"}
    assert set(lock_of(pinned)["pins"]) == PINNED
    assert pinned.run("lock", "--upgrade", "bass").returncode == 2
    # A tokenizer made again takes along what was trained with it.
    pinned.run("lock", "--upgrade", "tok")
    assert pinned.built() == {"tok", "base", "pack", "adapter"}


def test_settings_of_what_is_pinned_count(pinned: Toy) -> None:
    pinned.build()
    first = lock_of(pinned)
    pinned.settings("pack", bits=4)
    assert pinned.built() == {"pack", "adapter"}
    pinned.settings("tok", vocabulary=9)
    assert pinned.built() == {"tok", "base", "pack", "adapter"}
    pinned.settings("pack", bits=8)
    pinned.spec["targets"]["tok"].pop("settings")
    pinned.save()
    assert "built" not in pinned.build().values()
    assert lock_of(pinned) == first


def test_another_store_makes_it_again_and_leaves_the_lock(pinned: Toy) -> None:
    pinned.build()
    # As if another kind of machine had written the lock: the same settings, other bytes.
    path = pinned.folder / "nexus.lock"
    lock = lock_of(pinned)
    for pin in lock["pins"].values():
        pin["key"] = str(pin["key"])[::-1]
        pin["outputs"] = {}
    path.write_text(yaml.safe_dump(lock))
    text = path.read_text()
    shutil.rmtree(pinned.folder / ".nexus")
    assert pinned.built() == {"data", "adapter"} | PINNED
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(text)
    pinned.write("words.txt", "some words and another row")
    assert pinned.built() == {"data", "adapter"}


def test_another_store_and_other_sources_is_blocked(pinned: Toy) -> None:
    pinned.build()
    shutil.rmtree(pinned.folder / ".nexus")
    pinned.write("words.txt", "some words and another row")
    plan = pinned.plan()
    assert plan["tok"] == plan["base"] == plan["adapter"] == "blocked"
    assert plan["data"] == "stale"
    done = pinned.run()
    assert done.returncode == 2
    assert "lock --upgrade tok" in done.stderr
    assert "source 'words' of data" in done.stderr
    pinned.run("lock", "--upgrade", "all")
    assert pinned.built() == {"data", "adapter"} | PINNED


def test_pinned_files_that_are_gone_are_made_again_when_the_sources_hold(pinned: Toy) -> None:
    pinned.build()
    (pinned.folder / "build/pack/out.txt").resolve().unlink()
    pinned.settings("adapter", steps=9)
    assert pinned.built() == {"pack", "adapter"}
    (pinned.folder / "build/pack/out.txt").resolve().unlink()
    pinned.write("words.txt", "some words and another row")
    assert pinned.plan()["pack"] == "blocked"


def test_locked_refuses(pinned: Toy) -> None:
    done = pinned.run("--locked")
    assert done.returncode == 2
    assert "base is not in it" in done.stderr
    pinned.build()
    assert pinned.run("--locked").returncode == 0
    pinned.write("words.txt", "some words and another row")
    done = pinned.run("--locked")
    assert done.returncode == 2
    assert "source 'words' of data" in done.stderr
    assert pinned.run("--locked", "-n").returncode == 2


def test_force_makes_what_is_pinned_anew(pinned: Toy) -> None:
    pinned.build()
    pinned.edit("toy/words.py", '"\\n".join', '" ".join')
    assert pinned.built("--force", "base", "base") >= {"base"}
    assert pinned.plan("base") == {"base": "fresh"}


def test_a_damaged_lock_is_named(pinned: Toy) -> None:
    pinned.write("nexus.lock", "nexus_lock: 1\npins: {base: {key: 3}}\n")
    done = pinned.run("-n")
    assert done.returncode == 2
    assert "nexus.lock" in done.stderr
    pinned.write("nexus.lock", "nexus_lock: 2\n")
    assert "format 2" in pinned.run("-n").stderr
    for text, said in (("", "it is empty"), ("[]", "no names"), ("pins: {}", "nexus_lock: 1")):
        pinned.write("nexus.lock", text)
        assert said in pinned.run("-n").stderr


def test_lock_before_the_first_build(pinned: Toy) -> None:
    assert pinned.run("lock").returncode == 0
    assert lock_of(pinned)["values"] == {"base": {"it": 64}}
    assert pinned.built() == {"data", "adapter"} | PINNED


def test_nothing_is_held_on_to_before_something_was_made_of_it(pinned: Toy) -> None:
    assert pinned.built("build", "data") == {"data"}
    assert not (pinned.folder / "nexus.lock").exists()
    pinned.spec["auto"] = {"base": 128}
    pinned.save()
    pinned.build()
    assert lock_of(pinned)["values"] == {"base": {"it": 128}}


def test_an_upgrade_helps_where_the_spec_is_refused_for_what_is_pinned(pinned: Toy) -> None:
    pinned.write(
        "toy/picky.py",
        "from nexusbuild.plugins import Problem, ResolveError\n"
        "from toy.resolver import resolve as resolved\n\n\n"
        "def resolve(spec, lock_values):\n"
        "    if 'base' in lock_values:\n"
        "        raise ResolveError([Problem('made from what is isolated')])\n"
        "    return resolved(spec, lock_values)\n",
    )
    pinned.build()
    shutil.rmtree(pinned.folder / ".nexus")  # as in a fresh checkout
    picky = ("--resolver", "toy.picky:resolve")
    assert pinned.run("lock", *picky).returncode == 2
    assert not (pinned.folder / ".nexus").exists()
    assert pinned.run("lock", "--upgrade", "base", *picky).returncode == 0
