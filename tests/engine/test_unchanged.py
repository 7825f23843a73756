"""A dry run that finds nothing changed says the same as one that makes a plan, whatever changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_project import Toy

from nexusbuild.project import Place, Project
from nexusbuild.rule.plan import Step
from nexusbuild.run import build
from nexusbuild.run.commit import ResultCommitter

NOTE = ".nexus/cache/unchanged"
GRAIN_SECONDS = 0.12  # what changed less than a tenth of a second ago is not relied on


@pytest.fixture
def noted(built: Toy) -> Toy:
    """A built project with a source folder, whose last build found nothing to do."""
    built.write("texts/a.txt", "one")
    built.write("texts/below/b.txt", "two")
    built.target("folder", sources={"texts": "texts"})
    built.spec["each"] = ["texts/*.txt"]
    built.save()
    built.build()
    time.sleep(GRAIN_SECONDS)
    built.build()
    assert (built.folder / NOTE).exists()
    return built


def dry_run(toy: Toy) -> str:
    done = toy.run("-n")
    return done.stdout + done.stderr


def planned(toy: Toy) -> str:
    """What a dry run says without the note."""
    note = toy.folder / NOTE
    aside = note.with_name("aside")
    if note.exists():
        note.rename(aside)
    try:
        return dry_run(toy)
    finally:
        if aside.exists():
            aside.rename(note)


def makes_a_plan(toy: Toy) -> bool:
    """Whether a dry run in a process of its own opens the project."""
    program = toy.write(
        "elsewhere/program.py",
        "import sys\nfrom nexusbuild.cli import main\nmain(['-n'])\n"
        "sys.exit(7 if 'nexusbuild.project' in sys.modules else 0)\n",
    )
    command = [sys.executable, str(program)]
    done = subprocess.run(command, cwd=toy.folder, env=toy.environment)
    assert done.returncode in (0, 7)
    return done.returncode == 7


def test_where_nothing_changed_no_plan_is_made(noted: Toy) -> None:
    assert dry_run(noted) == planned(noted) == "8 fresh\n"
    (noted.folder / NOTE).unlink()
    assert makes_a_plan(noted)
    # The builder may be started in another way, with another folder first on Python's path.
    subprocess.run(noted.command(), cwd=noted.folder, env=noted.environment, check=True)
    assert not makes_a_plan(noted)
    noted.write("unread.txt", "x")  # next to the spec
    noted.settings("step:b", more=1)
    assert makes_a_plan(noted)


def result_of(toy: Toy, name: str) -> Path:
    return (toy.folder / "build" / name / "out.txt").resolve()


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(bytes(len(path.read_bytes())))


def released(toy: Toy) -> Path:
    return next(path for path in (toy.folder / "dist").rglob("*") if path.is_file())


def record_of(toy: Toy, name: str) -> Path:
    return (toy.folder / ".nexus" / "current" / name).resolve()


EDITS: dict[str, Callable[[Toy], object]] = {
    "a setting": lambda toy: toy.settings("step:b", more=1),
    "a source": lambda toy: toy.write("words.txt", "some other words"),
    "a source of the same size": lambda toy: toy.write("words.txt", "SOME WORDS"),
    "a source gone": lambda toy: (toy.folder / "words.txt").unlink(),
    "a file in a source folder": lambda toy: toy.write("texts/below/b.txt", "TWO"),
    "a new file in a source folder": lambda toy: toy.write("texts/below/c.md", "three"),
    "a new folder in a source folder": lambda toy: toy.write("texts/new/c.md", "three"),
    "a file that a pattern finds": lambda toy: toy.write("texts/c.txt", "three"),
    "a hidden file in a source folder": lambda toy: toy.write("texts/.c", "three"),
    "code": lambda toy: toy.edit("toy/works.py", "[:1]", "[:2]"),
    "a comment in code": lambda toy: toy.edit("toy/works.py", '"""', '# !\n"""'),
    "a module in the way of another": lambda toy: toy.write("toy/words/__init__.py", "A = 1\n"),
    "the resolver": lambda toy: toy.edit("toy/resolver.py", "seed", "seed  # !"),
    "an object gone": lambda toy: result_of(toy, "step/b").unlink(),
    "an object damaged": lambda toy: spoil(result_of(toy, "step/b")),
    "a record damaged": lambda toy: spoil(record_of(toy, "step:b")),
    "a record gone": lambda toy: record_of(toy, "step:b").unlink(),
    "a result forgotten": lambda toy: (toy.folder / ".nexus/current/step:b").unlink(),
    "a released file changed": lambda toy: released(toy).write_text("other"),
    "a file next to a released one": lambda toy: (released(toy).parent / ".x").write_text(""),
    "a released file gone": lambda toy: released(toy).unlink(),
    "a newer store": lambda toy: toy.write(".nexus/format", "99\n"),
    "a lock": lambda toy: toy.write("nexus.lock", "no lock"),
    "a package": lambda toy: (toy.folder / "new-1.0.dist-info").mkdir(),
    "no store": lambda toy: shutil.rmtree(toy.folder / ".nexus"),
    "no spec": lambda toy: (toy.folder / "nexus.yaml").unlink(),
    "the note damaged": lambda toy: toy.write(NOTE, "damaged"),
    "the note cut off": lambda toy: os.truncate(toy.folder / NOTE, 99),
}


@pytest.mark.parametrize("edit", list(EDITS))
def test_a_change_is_seen(noted: Toy, edit: str) -> None:
    EDITS[edit](noted)
    assert dry_run(noted) == planned(noted)


def test_what_changes_after_the_plan_was_made_is_not_noted(
    noted: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source is written between the plan of a build and the end of that build."""
    (noted.folder / NOTE).unlink()
    commit = ResultCommitter.commit

    def commit_late(self: ResultCommitter, step: Step, built: bool = False) -> None:
        if step.target.id == "step:a":
            noted.write("words.txt", "some other words")
            time.sleep(GRAIN_SECONDS)
        commit(self, step, built)

    monkeypatch.setattr(ResultCommitter, "commit", commit_late)
    assert noted.run().stdout == "8 fresh\n"
    assert not (noted.folder / NOTE).exists()


def test_a_long_build_notes_what_it_made(noted: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LONG_SECONDS", 0.0)
    (noted.folder / NOTE).unlink()
    noted.settings("step:b", more=1)
    time.sleep(GRAIN_SECONDS)
    assert noted.build()["step:b"] == "built"
    assert (noted.folder / NOTE).exists()
    assert dry_run(noted) == planned(noted) == "8 fresh\n"


def test_a_spec_broken_during_a_long_build_costs_nothing(
    noted: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "LONG_SECONDS", 0.0)
    (noted.folder / NOTE).unlink()
    noted.settings("step:b", more=1)

    def opened(place: Place) -> Project:
        place.spec.write_text("targets: [")
        return Project(place)

    monkeypatch.setattr(build, "Project", opened)
    assert noted.build()["step:b"] == "built"
    assert not (noted.folder / NOTE).exists()


def test_nothing_is_noted_that_could_change_unseen(noted: Toy) -> None:
    """Nothing tells apart a source written twice within the clock's grain."""
    (noted.folder / NOTE).unlink()
    later = time.time_ns() + 60 * 10**9
    os.utime(noted.folder / "words.txt", ns=(later, later))
    noted.build()
    assert not (noted.folder / NOTE).exists()


def test_a_build_of_some_targets_notes_nothing(noted: Toy) -> None:
    (noted.folder / NOTE).unlink()
    noted.build("step:a")
    assert not (noted.folder / NOTE).exists()
    noted.settings("step:b", more=1)
    noted.build()
    assert "8 fresh" in dry_run(noted)


def test_the_note_is_for_the_usual_place(noted: Toy) -> None:
    noted.settings("step:b", more=1)
    noted.write("other.yaml", (noted.folder / "nexus.yaml").read_text())
    assert noted.run("-f", "other.yaml", "--store", "elsewhere").returncode == 0
    assert noted.run("-f", "other.yaml", "--store", "elsewhere").returncode == 0
    assert not (noted.folder / "elsewhere" / "cache" / "unchanged").exists()
    assert "step:b" in dry_run(noted)
