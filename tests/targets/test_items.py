"""`nexusbuild items`: what a student lost and gained, side by side, as the gate judged it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from modalities.json_files import write_rows
from nexusbuild.cli import main
from nexusbuild.plugins import Job
from targets.commands.items import overview, side_by_side
from targets.gate.items import Items, read_items
from targets.gate.work import build_capability

TINY = Path(__file__).parents[1] / "tiny.yaml"
REFERENCES = ("1", "2", "3", "4")

Judge = Callable[..., Items]


@pytest.fixture
def judge(make_job: Callable[..., Job], tmp_path: Path) -> Judge:
    """The items of a real gate over these answers, or answers with likelihoods."""

    def made(metric: str, teacher: Sequence[Any], student: Sequence[Any]) -> Items:
        def write(name: str, answers: Sequence[Any]) -> Path:
            path = tmp_path / name / "eval.jsonl"
            path.parent.mkdir(exist_ok=True)
            rows = [
                {"id": f"r{n}", **(answer if isinstance(answer, dict) else {"answer": answer})}
                for n, answer in enumerate(answers)
            ]
            write_rows(path, rows)
            return path

        rows = [{"answer": text, "prompt": f"p{n}"} for n, text in enumerate(REFERENCES)]
        rows[3]["held_out"] = True  # type: ignore[assignment]
        paths = {
            "eval": write("rows", rows),
            "baseline/one": write("one", teacher),
            "baseline/two": write("two", [{**_as_row(text), "answer": "no"} for text in teacher]),
            "score": write("score", student).parent,
        }
        job = make_job("gate:verse", {"metric": metric, "retain_fraction": 0.9}, **paths)
        build_capability(job)
        outputs = {path.name: path for path in job.out.iterdir()}
        inputs = {role: {"eval.jsonl": path} for role, path in paths.items()}
        inputs["score"] = {"eval.jsonl": paths["score"] / "eval.jsonl"}
        return read_items("verse", outputs, inputs)

    return made


def _as_row(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"answer": answer}


def test_lost_and_gained_are_what_teacher_and_student_alone_got_right(judge: Judge) -> None:
    items = judge("exact_match", ["1", "2", "3", "x"], ["1", "y", "z", "4"])
    assert (items.teacher, items.verdict, items.graded) == ("one", "fail", False)
    assert [item.id for item in items.chosen("lost")] == ["r1", "r2"]
    (gained,) = items.chosen("gained")
    assert (gained.id, gained.teacher_answer, gained.student_answer) == ("r3", "x", "4")
    assert gained.held_out and gained.reference == "4" and gained.prompt == "p3"
    assert [item.id for item in items.chosen("all")] == ["r0", "r1", "r2", "r3"]
    assert "The student lost 2 and gained 1" in " ".join(overview(items))
    assert list(overview(items, "stale"))[-1].startswith("note: gate:verse is stale")


def test_a_graded_metric_puts_the_largest_loss_first_whichever_way_it_goes(judge: Judge) -> None:
    def of(*bits: float) -> list[dict[str, Any]]:
        return [{"answer": "a", "log_prob": -value, "tokens": 2, "bytes": 1} for value in bits]

    items = judge("bits_per_byte", of(1, 1, 1, 1), of(1, 1.5, 3, 0.5))
    assert items.graded
    assert [item.id for item in items.chosen("lost")] == ["r2", "r1"]
    assert [item.id for item in items.chosen("gained")] == ["r3"]
    assert "teacher one: 1.44" in "\n".join(side_by_side(items, items.every[0], "1 of 1", 80))


def test_both_answers_stand_side_by_side_within_the_columns(judge: Judge) -> None:
    long = "word " * 300 + "\n" + "x" * 200
    items = judge("exact_match", ["1", "2", "3", "4"], ["1", long, "", "4"])
    first, empty = items.chosen("lost")
    for columns in (60, 80, 100):
        lines = list(side_by_side(items, first, "1 of 2", columns))
        assert max(map(len, lines)) <= columns
        assert any("teacher one: right" in line and "student: wrong" in line for line in lines)
        assert "more lines" in lines[-1]
        assert len(lines) < 40
    assert any("(nothing)" in line for line in side_by_side(items, empty, "2 of 2", 80))


def test_what_cannot_be_shown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "nexus.yaml"
    spec.write_bytes(TINY.read_bytes())
    assert main(["items", "reasoning", "-f", str(spec)]) == 2
    assert "gate:reasoning was not built yet; nexusbuild gate:reasoning builds it" in (
        capsys.readouterr().err
    )
    assert main(["items", "reasonin", "-f", str(spec), "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert "did you mean reasoning?" in error["remedy"]
    assert main(["items", "router", "-f", str(spec)]) == 2
    assert "the router has no teacher" in capsys.readouterr().err
    spec.write_text("nexus: 2\n", encoding="utf-8")
    assert main(["items", "reasoning", "-f", str(spec)]) == 2
    assert "nexus.yaml:1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["items", "reasoning", "--number", "0"])
