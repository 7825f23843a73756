"""Run a teacher over the training rows once and keep what training needs of it.

Rows are traced in the order of their hash, so that the order of the data does not matter, and
shard by shard, so that a trace that was killed goes on where it stood. After this the teacher
can be deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modalities.json_files import read_json, read_rows, write_json
from modalities.pass_count import PassCount
from modalities.text.answers import Description, ReadRows
from modalities.text.encoding import answer_byte_ends, token_bytes
from modalities.text.likelihoods import teacher_log_probs
from modalities.text.own_answers import own_answers
from modalities.text.sequences import collate
from modalities.text.shards import TracedRow, index_type, shard_exists, write_shard
from modalities.text.teacher_reading import teacher_reader
from opened_models.blocks import block_lists
from opened_models.loading import Teacher, answering_teacher
from targets.trace.coefficients import coefficient_reader
from targets.trace.settings import Settings

if TYPE_CHECKING:
    from modalities.metric import Metric
    from nexusbuild.plugins import Job

SHARD_ROWS = 2048
# Most that the logits of one batch may take in float32; a single row is never cut.
LOGITS_BYTES = 1 << 30


def build(job: Job) -> None:
    """Write the shards and `trace.json`."""
    settings = Settings.from_json(job.settings)
    description = Description.from_json(read_json(job.inputs["description"]))
    rows = sorted(read_rows(job.inputs["train"]), key=lambda row: row["id"])
    teacher = answering_teacher(job)
    assert teacher.tokenizer is not None  # it could not answer without
    vocabulary = int(teacher.model.config.get_text_config(decoder=True).vocab_size)
    metric = None if settings.metric is None else job.load("metric").METRIC
    read = teacher_reader(job, teacher, description.template)
    # Where the teacher answers, each row is gone over twice: answered, then traced.
    passes = 2 if settings.answers == "teacher" else 1
    done = PassCount(job.progress, passes * len(rows))
    for number, start in enumerate(range(0, len(rows), SHARD_ROWS)):
        shard = rows[start : start + SHARD_ROWS]
        if shard_exists(job.scratch, number):
            done.end_pass(passes * len(shard))
            continue
        if settings.answers == "teacher":
            shard = _own_answers(
                job, teacher, shard, description, settings, metric, number, read, done
            )
            done.end_pass(len(shard))
        kept = max(0, settings.coefficient_rows - start)
        traced = _trace_rows(job, teacher, shard, read, settings, kept, done)
        write_shard(job.scratch, number, traced)
        done.end_pass(len(shard))
    # A shard's arrays are what says that it is whole, so they are the first to leave.
    for kind in ("safetensors", "jsonl"):
        for file in sorted(job.scratch.glob(f"trace-*.{kind}")):
            shutil.move(file, job.out / file.name)
    write_json(
        job.out / "trace.json",
        {
            "rows": len(rows),
            "top_k": min(settings.top_k, vocabulary),
            "vocabulary": vocabulary,
            "depth": sum(len(blocks) for blocks in block_lists(teacher.model).values()),
            "answers": settings.answers,
            "template": description.template,
            "end_of_sequence": int(teacher.tokenizer.eos_token_id),
        },
    )


def _own_answers(
    job: Job,
    teacher: Teacher,
    rows: Sequence[dict[str, Any]],
    description: Description,
    settings: Settings,
    metric: Metric | None,
    number: int,
    read: ReadRows,
    done: PassCount,
) -> list[dict[str, Any]]:
    """A shard's rows with the teacher's own answers; scored where the data set has others to hold.

    A batch that is answered is kept: after a kill the answers go on behind it.
    """
    own = own_answers(
        teacher.model,
        teacher.tokenizer,
        rows,
        description,
        temperature=settings.temperature,
        seed=job.seed + number,
        batch=settings.batch,
        kept=job.scratch / f"answers-{number:05d}.json",
        progress=done.report,
        read=read,
    )
    answered = [one.row for one in own]
    if metric is None:
        return answered
    sign = 1.0 if metric.higher_is_better else -1.0
    scores = metric.score_rows(rows, [one["answer"] for one in answered])
    return [{**own, "merit": sign * score} for own, score in zip(answered, scores, strict=True)]


@torch.inference_mode()
def _trace_rows(
    job: Job,
    teacher: Teacher,
    rows: Sequence[dict[str, Any]],
    read: ReadRows,
    settings: Settings,
    with_coefficients: int,
    done: PassCount,
) -> list[TracedRow]:
    pieces = token_bytes(teacher.tokenizer)
    encoded = read(rows)
    prompts = [row.prompt_ids for row in encoded]
    answers = [row.answer_ids for row in encoded]
    order = sorted(range(len(rows)), key=lambda index: encoded[index].tokens())
    traced: dict[int, TracedRow] = {}
    read_coefficients = coefficient_reader(teacher.model, job.inputs, with_coefficients)
    vocabulary = int(teacher.model.config.get_text_config(decoder=True).vocab_size)
    for run_together in _batches(order, answers, settings.batch, vocabulary):
        batch = collate(prompts, answers, run_together).to(teacher.model.device)
        log_probs, coefficients = read_coefficients(
            partial(teacher_log_probs, teacher.model, encoded, batch), batch
        )
        arrays = _arrays(log_probs, batch.labels, settings.top_k)
        starts = [0, *np.cumsum([len(answers[row]) for row in batch.rows]).tolist()]
        for line, row in enumerate(batch.rows):
            cut = slice(starts[line], starts[line + 1])
            ends = answer_byte_ends(pieces, answers[row], rows[row]["answer"])
            spelled = np.array(ends or [-1] * len(answers[row]), dtype=np.int32)
            of_row = {name: array[cut] for name, array in arrays.items()}
            score = float(of_row["token_log_probs"].astype(np.float64).sum())
            traced[row] = TracedRow(
                row={
                    "id": rows[row]["id"],
                    "prompt": rows[row]["prompt"],
                    "answer": rows[row]["answer"],
                    "merit": rows[row].get("merit", 1.0),
                    "log_prob": round(score, 4),
                    **({} if rows[row].get("ended", True) else {"ended": False}),
                    **({"parts": rows[row]["parts"]} if "parts" in rows[row] else {}),
                },
                byte_ends=spelled,
                coefficients={name: values[cut] for name, values in coefficients.items()}
                if row < with_coefficients
                else {},
                **of_row,
            )
        done.report(len(traced), len(rows))
    return [traced[row] for row in range(len(rows))]


def _batches(
    order: Sequence[int], answers: Sequence[Sequence[int]], most_rows: int, vocabulary: int
) -> Iterator[list[int]]:
    """Rows to run together, in their order, as many as LOGITS_BYTES has room for."""
    most_tokens = LOGITS_BYTES // (4 * vocabulary)
    batch: list[int] = []
    tokens = 0
    for row in order:
        if batch and (len(batch) == most_rows or tokens + len(answers[row]) > most_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(row)
        tokens += len(answers[row])
    if batch:
        yield batch


def _arrays(log_probs: torch.Tensor, labels: torch.Tensor, top_k: int) -> dict[str, Any]:
    """Log-probabilities `(answers, vocabulary)`, which are used up -> the arrays of a shard."""
    vocabulary = log_probs.shape[1]
    ids = index_type(vocabulary)
    of_labels = log_probs.gather(1, labels[:, None])[:, 0]
    top = log_probs.topk(min(top_k, vocabulary), dim=-1)
    # Summing the rest directly keeps a small tail exact where 1 - sum(top) would cancel. It is
    # found in place, for a copy of all logits would be the largest thing in memory.
    tail = log_probs.scatter_(1, top.indices, float("-inf")).logsumexp(dim=-1).clamp(min=-60.0)
    return {
        "answer_ids": labels.cpu().numpy().astype(ids),
        "token_log_probs": _half(of_labels),
        "top_ids": top.indices.cpu().numpy().astype(ids),
        "top_log_probs": _half(top.values),
        "tail_log_probs": _half(tail),
    }


def _half(values: torch.Tensor) -> Any:
    return values.clamp(min=-60.0).cpu().numpy().astype(np.float16)
