"""Tasks of lm-evaluation-harness: the teacher answers, the confined student answers, a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modalities.json_files import read_json, read_rows
from modalities.text.harness.metric import HarnessMetric
from modalities.text.harness.tasks import Harness, load_tasks
from nexusbuild.plugins import Job
from targets.baseline.work import build as build_baseline
from targets.gate.items import read_items
from targets.gate.work import build_capability
from targets.score.work import build as build_score

CHOOSE = """\
task: plus
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: 1
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
GENERATE = """\
task: plus_written
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[1]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 3, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
SETTINGS = {"load": "fp32", "harness": {"tasks": ["plus", "plus_written"]}}


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks over the same rows, their documents next to them. What is right is one more than
    the sum: that happens to be what the untrained models choose more often than not.
    """
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"question": f"{one}+{other}=", "choices": [str(one + other), str(one + other + 1)]}
        for one in range(5)
        for other in range(5)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plus.yaml").write_text(CHOOSE)
    (folder / "plus_written.yaml").write_text(GENERATE)
    return folder


@pytest.fixture(scope="module")
def answered(
    task_folder: Path,
    make_job: Callable[..., Job],
    student_backbone: Path,
    student_tokenizer: Path,
    packed_backbones: dict[str, Path],
    packed_adapters: dict[str, Path],
    datasets: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """What teacher and student answered: a model's folder, and the packed student confined."""
    data = {name: datasets["sums"] / f"{name}.jsonl" for name in ("eval", "validation")}
    data["description"] = datasets["sums"] / "dataset.json"
    model = tmp_path_factory.mktemp("teacher-model")
    for folder in (student_backbone, student_tokenizer):
        for file in folder.iterdir():
            (model / file.name).symlink_to(file)
    student = make_job(
        "score:sums",
        SETTINGS,
        backbone=packed_backbones["none"],
        adapter=packed_adapters["sums"],
        tokenizer=student_tokenizer,
        eval=data["eval"],
        description=data["description"],
    )
    # The student first: what the harness imports late is then imported under confinement.
    build_score(with_tasks(student, task_folder))
    teacher = make_job("baseline:scholar/sums", SETTINGS, model=model, **data)
    build_baseline(with_tasks(teacher, task_folder))
    return teacher.out, student.out


def with_tasks(job: Job, folder: Path) -> Job:
    return Job(**{**vars(job), "sources": {"tasks": folder}})


def test_a_contract_on_a_task_is_judged_on_what_both_answered(
    answered: tuple[Path, Path], make_job: Callable[..., Job]
) -> None:
    teacher, student = answered
    asked, given = (read_rows(folder / "harness.jsonl") for folder in answered)
    assert [row["id"] for row in asked] == [row["id"] for row in given]
    assert {row["task"] for row in asked} == {"plus", "plus_written"} and len(asked) == 50
    assert read_json(student / "confinement.json")["method"] in ("landlock", "namespace")

    inputs = {"score": student, "baseline/scholar": teacher / "harness.jsonl"}
    chosen = [row for row in asked if row["task"] == "plus"]
    share = sum(row["scores"]["acc,none"] for row in chosen) / 25
    settings = {"metric": "lm_eval/plus", "retain_fraction": 0.5}
    job = make_job("gate:sums", settings, inputs=inputs)
    build_capability(job)
    verdict = read_json(job.out / "verdict.json")
    assert verdict["metric"] == "lm_eval/plus/acc,none" and verdict["items"] == 25
    assert verdict["teacher_score"] == pytest.approx(share) and verdict["chance"] == 0.5
    wins = sum(row["scores"]["acc,none"] for row in given if row["task"] == "plus")
    assert verdict["student_score"] == pytest.approx(wins / 25)

    files = {path.name: path for path in job.out.iterdir()}
    read = {"score": student, "baseline/scholar": teacher}
    inputs_read = {role: {"harness.jsonl": at / "harness.jsonl"} for role, at in read.items()}
    items = read_items("sums", files, inputs_read)
    assert len(items.every) == 25 and items.every[0].prompt.endswith("=")
    assert sum(item.student_score for item in items.every) == wins


def test_the_scores_are_the_harness_s_own(answered: tuple[Path, Path], task_folder: Path) -> None:
    """A choice is right where the right one is likelier: the row says which the model chose."""
    rows = [json.loads(line) for line in (task_folder / "rows.jsonl").read_text().splitlines()]
    right = {row["question"]: row["choices"][1] for row in rows}
    for folder in answered:
        for row in read_rows(folder / "harness.jsonl"):
            expected = float(row["answer"].strip() == right[row["prompt"]])
            key = "acc,none" if row["task"] == "plus" else "exact_match,none"
            assert row["scores"][key] == expected


def test_what_cannot_be_answered_says_why(task_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lost.yaml").write_text(CHOOSE.replace("rows.jsonl", "none.jsonl"))
    with pytest.raises(ValueError, match=r"documents of plus cannot be had.*none\.jsonl"):
        load_tasks(Harness(("plus",), tmp_path), tmp_path / "cache")


ABOUT = {
    "tasks": {
        "gsm": {
            "default": "exact_match,strict",
            "choose": False,
            "higher_is_better": {
                "exact_match,strict": True,
                "exact_match,flexible": True,
                "edits,strict": False,
            },
        },
        "mean_of_nothing": {"default": None, "choose": False, "higher_is_better": {}},
    }
}


@pytest.mark.parametrize(
    ("name", "expected", "higher"),
    [
        ("lm_eval/gsm", "lm_eval/gsm/exact_match,strict", True),
        ("lm_eval/gsm/exact_match", "lm_eval/gsm/exact_match,strict", True),
        ("lm_eval/gsm/exact_match,flexible", "lm_eval/gsm/exact_match,flexible", True),
        ("lm_eval/gsm/edits", "lm_eval/gsm/edits,strict", False),
    ],
)
def test_a_metric_of_a_task_is_found_by_name(name: str, expected: str, higher: bool) -> None:
    found = HarnessMetric.named(name)
    assert found is not None
    metric = found.metric_of(ABOUT)
    assert (metric.name, metric.higher_is_better) == (expected, higher)


def test_a_metric_that_a_task_has_not_is_refused() -> None:
    assert HarnessMetric.named("exact_match") is None
    for name, words in (
        ("lm_eval/gsm/f1", "has no metric f1"),
        ("lm_eval/mean_of_nothing", "bits_per_byte"),
        ("lm_eval/other", "was not answered"),
    ):
        found = HarnessMetric.named(name)
        assert found is not None
        with pytest.raises(ValueError, match=words):
            found.metric_of(ABOUT)


def test_without_the_harness_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    monkeypatch.setitem(__import__("sys").modules, "lm_eval.tasks", None)
    with pytest.raises(ValueError, match=r"pip install 'nexus-distill\[harness\]'"):
        load_tasks(Harness(("plus",), None), tmp_path)
