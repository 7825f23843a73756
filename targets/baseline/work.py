"""Ask a teacher every validation and evaluation prompt once: what a contract compares with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from modalities.json_files import read_json, read_rows, write_rows
from modalities.pass_count import PassCount
from modalities.text.answers import (
    Description,
    ReadRows,
    answered_rows,
    generates_likeliest,
    known_answers,
)
from modalities.text.own_answers import OwnAnswer, own_answers
from modalities.text.teacher_reading import teacher_reader
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
    read = teacher_reader(job, teacher, description.template)
    splits = {name: read_rows(job.inputs[name]) for name in ("validation", "eval")}
    passes = 1 if settings.temperature is None else 2
    done = PassCount(job.progress, passes * sum(len(rows) for rows in splits.values()))
    tokens: dict[str, list[list[int]]] = {}
    if settings.temperature is not None:
        own = _own_references(job, settings, teacher, description, splits, done, read)
        splits = {name: [one.row for one in answers] for name, answers in own.items()}
        if settings.temperature == 0 and generates_likeliest(teacher.model):
            # What it says of its own accord is what it answers: it is generated once.
            tokens = {
                name: [one.tokens for one in answers]
                for name, answers in own.items()
                if not any("parts" in one.row for one in answers)
            }
    for name, rows in splits.items():
        ask = partial(known_answers, tokens=tokens[name]) if name in tokens else answered_rows
        answers = ask(
            teacher.model,
            teacher.tokenizer,
            rows,
            description=description,
            batch=settings.batch,
            progress=done.report,
            read=read,
        )
        write_rows(job.out / f"{name}.jsonl", answers)
        done.end_pass(len(rows))
    if "harness" in job.settings:
        harness = job.load("harness")
        tasks = harness.tasks_of_job(job)
        harness.answer_tasks(teacher.model, teacher.tokenizer, tasks, job.out, batch=settings.batch)


def _own_references(
    job: Job,
    settings: Settings,
    teacher: Teacher,
    description: Description,
    splits: dict[str, list[dict[str, Any]]],
    done: PassCount,
    read: ReadRows,
) -> dict[str, list[OwnAnswer]]:
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
            kept=job.scratch / f"{name}_answers.json",
            progress=done.report,
            read=read,
        )
        write_rows(job.out / f"{name}_references.jsonl", [one.row for one in own[name]])
        done.end_pass(len(rows))
    return own
