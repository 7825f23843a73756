"""Ask a teacher every validation and evaluation prompt once: what a contract compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modalities.json_files import read_json, read_rows, write_rows
from modalities.text.answers import Description, answered_rows
from modalities.text.harness.answering import answer_tasks
from modalities.text.harness.tasks import Harness, load_tasks
from modalities.text.own_answers import own_answers
from opened_models.loading import Teacher, answering_teacher
from targets.baseline.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `validation.jsonl` and `eval.jsonl`, a row of answer and likelihood per prompt; and
    what harness tasks the settings name, as `modalities.text.harness` has it.

    For data without references, `validation_references.jsonl` and `eval_references.jsonl` too:
    the rows with the teacher's own answers, which the likelihoods are of.
    """
    settings = Settings.from_json(job.settings)
    description = Description.from_json(read_json(job.inputs["description"]))
    teacher = answering_teacher(job)
    splits = {name: read_rows(job.inputs[name]) for name in ("validation", "eval")}
    if settings.temperature is not None:
        splits = _own_references(job, settings, teacher, description, splits)
    total = sum(len(rows) for rows in splits.values())
    before = 0
    for name, rows in splits.items():

        def report(done: int, _rows: int, before: int = before) -> None:
            job.progress(before + done, total)

        answers = answered_rows(
            teacher.model,
            teacher.tokenizer,
            rows,
            description,
            batch=settings.batch,
            progress=report,
        )
        write_rows(job.out / f"{name}.jsonl", answers)
        before += len(rows)
    harness = Harness.from_job(job.settings, job.sources)
    if harness is not None:
        tasks = load_tasks(harness, job.scratch / "documents")
        answer_tasks(teacher.model, teacher.tokenizer, tasks, job.out, batch=settings.batch)


def _own_references(
    job: Job,
    settings: Settings,
    teacher: Teacher,
    description: Description,
    splits: dict[str, list[dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    assert settings.temperature is not None
    own = {}
    for number, (name, rows) in enumerate(splits.items()):
        own[name] = own_answers(
            teacher.model,
            teacher.tokenizer,
            rows,
            description,
            temperature=settings.temperature,
            seed=job.seed + number,
            batch=settings.batch,
        )
        write_rows(job.out / f"{name}_references.jsonl", own[name])
    return own
