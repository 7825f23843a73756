"""`--delete-teachers`: teachers and nothing else, and only where somebody agreed to it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nexusbuild.plugins import Graph, ResolveError
from targets.commands.delete_teachers import local_copies, step
from targets.resolver import resolve

SPEC = """
nexus: 1
name: small
datasets: {{sums: {{path: {rows}, licence: MIT}}}}
teachers:
  - {{id: inner, source: {{path: {inner}}}, licence: MIT, capabilities: [reasoning]}}
  - {{id: outer, source: {{path: {outer}}}, licence: MIT, capabilities: [reasoning]}}
  - id: made
    source: {{train: {{family: llama, hidden: 64, layers: 2, heads: 2, steps: 9}}}}
    capabilities: [reasoning]
capabilities: {{reasoning: {{dataset: sums, metric: final_answer}}}}
"""


class Project:
    """The engine's part, with a real spec, its real graph, and what was dropped and noted."""

    def __init__(self, root: Path, **places: str) -> None:
        self.root = root
        for folder in ("project/models/inner", "outside", "project/data"):
            (root / folder).mkdir(parents=True)
            (root / folder / "model.safetensors").write_bytes(b"weights!")
        named = {"inner": "models/inner", "outer": "../outside", "rows": "data/rows.jsonl"}
        (root / "project" / "data" / "rows.jsonl").write_text("{}\n")
        self.spec = root / "project" / "nexus.yaml"
        self.spec.write_text(SPEC.format(**{**named, **places}))
        self.dropped: list[str] = []
        self.entries: list[Mapping[str, Any]] = []
        self.waiting: list[str] = []

    @property
    def graph(self) -> Graph:
        return resolve(self.spec, {})

    @property
    def own_places(self) -> tuple[Path, ...]:
        return (self.spec, self.root / "project" / ".nexus", self.root / "project" / "dist")

    def unfinished(self) -> list[str]:
        return self.waiting

    def stored_bytes(self, targets: Sequence[str]) -> int:
        return 0 if set(targets) <= set(self.dropped) else 3 << 20

    def drop_files(self, targets: Sequence[str]) -> None:
        self.dropped += targets

    def journal(self, entry: Mapping[str, Any]) -> None:
        self.entries.append(entry)


class Arguments:
    delete_teachers = True

    def __init__(self, yes: bool) -> None:
        self.yes = yes


def run(project: Project, *, yes: bool = True) -> list[dict[str, Any]]:
    return step.run(Arguments(yes), project)  # type: ignore[arg-type]


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_all_copies_go_and_are_noted_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path)
    deleted = run(project)
    assert [entry["teacher"] for entry in deleted] == ["inner", "outer", "made"]
    assert project.entries == deleted and project.dropped == ["trained_teacher:made"]
    assert not (tmp_path / "project/models/inner").exists()
    assert not (tmp_path / "outside").exists()
    assert (tmp_path / "project/data/rows.jsonl").exists()
    said = capsys.readouterr().err
    assert str(tmp_path / "outside") in said and "3 of 3 teachers' copies, 3.0 MB freed" in said
    assert run(project) == []
    assert "no local copy of a teacher is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["y", "y"], []),
        (["y", "n"], ["outer"]),
        (["no", "yes"], ["inner", "made"]),
        ([""], ["inner", "outer", "made"]),
    ],
)
def test_what_lies_outside_is_asked_for_by_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: list[str],
    kept: list[str],
) -> None:
    project = Project(tmp_path)
    answers(monkeypatch, *lines)
    gone = {entry["teacher"] for entry in run(project, yes=False)}
    assert gone == {"inner", "outer", "made"} - set(kept)
    assert (tmp_path / "outside").exists() == ("outer" in kept)
    question = f"{tmp_path / 'outside'} is outside of the project. Delete it? [y/N]"
    assert question in capsys.readouterr().err


def test_without_a_terminal_it_must_be_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    with pytest.raises(ResolveError, match=r"no terminal to ask at\n.*--yes"):
        step.prepare(Arguments(yes=False))  # type: ignore[arg-type]
    step.prepare(Arguments(yes=True))  # type: ignore[arg-type]


def test_while_a_target_waits_nothing_is_deleted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.waiting = ["trace:inner/reasoning"]
    with pytest.raises(ResolveError, match="teachers are still needed"):
        run(project)
    assert (tmp_path / "outside").exists() and not project.dropped


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"inner": "."}, "the project"),
        ({"inner": ".."}, "the project"),
        ({"inner": "data"}, r"data/rows\.jsonl, which dataset:sums reads"),
        ({"inner": "models", "rows": "models/inner/rows.jsonl"}, "dataset:sums reads"),
        ({"inner": ".nexus/objects"}, r"\.nexus of the project"),
        ({"inner": "link"}, "the project"),
    ],
)
def test_what_is_no_teacher_s_never_goes_with_one(
    tmp_path: Path, places: dict[str, str], words: str
) -> None:
    project = Project(tmp_path, **places)
    (tmp_path / "project" / ".nexus" / "objects").mkdir(parents=True)
    (tmp_path / "project" / "link").symlink_to(tmp_path)
    (tmp_path / "project/models/inner/rows.jsonl").write_text("{}\n")
    with pytest.raises(ResolveError, match=words):
        run(project)
    assert project.spec.exists() and (tmp_path / "outside").exists() and not project.entries


def test_a_link_goes_with_the_model_that_it_shows(tmp_path: Path) -> None:
    project = Project(tmp_path, inner="link")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(b"x")
    (tmp_path / "project" / "link").symlink_to(tmp_path / "elsewhere")
    apart = {copy.teacher: copy.apart for copy in local_copies(project)}
    assert apart == {"inner": True, "outer": True, "made": False}
    run(project)
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "project" / "link").is_symlink()


def test_of_a_hub_s_cache_the_revision_goes_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache as huggingface_hub lays it out."""
    commits = ("a" * 40, "b" * 40)
    repo = tmp_path / "hub" / "models--some--model"
    for number, commit in enumerate(commits):
        (repo / "blobs").mkdir(parents=True, exist_ok=True)
        (repo / "blobs" / f"blob{number}").write_bytes(b"x" * 1000)
        (repo / "snapshots" / commit).mkdir(parents=True)
        (repo / "snapshots" / commit / "model.safetensors").symlink_to(f"../../blobs/blob{number}")
    (repo / "refs").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    project = Project(tmp_path / "work")
    text = project.spec.read_text().replace(
        "source: {path: ../outside}",
        f"source: {{hub: some/model, revision: {commits[0]}}}, parameters: 1M",
    )
    project.spec.write_text(text)
    (found,) = [copy for copy in local_copies(project) if copy.teacher == "outer"]
    assert found.bytes == 1000 and found.apart and "some/model at aaaaaaaaaaaa" in found.place
    run(project)
    assert not (repo / "snapshots" / commits[0]).exists() and not (repo / "blobs/blob0").exists()
    assert (repo / "snapshots" / commits[1]).exists() and (repo / "blobs/blob1").exists()
    assert not list(local_copies(project))
