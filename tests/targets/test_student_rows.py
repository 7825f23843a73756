"""What training reads of its traces, a batch at a time: the same numbers, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from test_alignment import BPE, BYTES, OTHER, traced

from modalities.text.alignment import Alignment
from modalities.text.encoding import encode_row
from modalities.text.sequences import collate
from modalities.text.shards import TracedRow, write_shard
from modalities.text.standardising import column_means, root_mean_square
from modalities.text.student_rows import StudentRows, memory_bytes, student_rows
from modalities.text.trace_sources import TraceSource, best_rows

WORDS = ["42 euros", "naïve 東京タワー 🙂", "def f(x):\n    return x", "7", "", "déjà vu", "café"]


def trace_of(folder: Path, tokenizer: Any, rows: list[TracedRow], shard_rows: int = 3) -> Path:
    """A trace of several shards."""
    folder.mkdir()
    for number, start in enumerate(range(0, len(rows), shard_rows)):
        write_shard(folder, number, rows[start : start + shard_rows])
    about = {"vocabulary": len(tokenizer), "template": "{prompt}\n", "depth": 3, "top_k": 8}
    (folder / "trace.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def rows_by(
    tokenizer: Any, merits: list[float], seed: int, with_coefficients: int = 0
) -> list[TracedRow]:
    """A teacher's rows of these merits; the first also have coefficients, far from a mean of 0."""
    rows = []
    for number, (answer, merit) in enumerate(zip(WORDS, merits, strict=True)):
        row = traced(tokenizer, f"{answer}{seed}", seed=10 * seed + number)
        row.row.update(id=f"row {number}", prompt=f"p{number}", merit=merit)
        generator = np.random.default_rng(number)
        for name in ("attention/2", "activation/2", "activation/1") if answer else ():
            if number < with_coefficients:
                drawn = generator.normal(3.0, 2.0, (len(row.answer_ids), 5))
                row.coefficients[name] = drawn.astype(np.float16)
        rows.append(row)
    return rows


@pytest.fixture
def sources(tmp_path: Path) -> list[TraceSource]:
    """Two teachers of one capability, and one of another; none has the student's tokenizer."""
    first = rows_by(BPE, [1, 0, 1, 0, 1, 0, 1], 1)
    second = rows_by(OTHER, [0, 1, 1, 1, 0, 1, 0], 2)
    return [
        TraceSource("b", trace_of(tmp_path / "first", BPE, first), BPE),
        TraceSource("b", trace_of(tmp_path / "second", OTHER, second), OTHER),
        TraceSource("a", trace_of(tmp_path / "third", BPE, rows_by(BPE, [1] * 7, 3)), BPE),
    ]


def test_of_each_prompt_the_better_answer_is_taken(sources: list[TraceSource]) -> None:
    chosen = [(index, traced.row["id"]) for index, traced in best_rows(sources)]
    expected = [2] * 7 + [0, 1, 0, 1, 0, 1, 0]  # of equals the first
    assert chosen == [(index, f"row {n % 7}") for n, index in enumerate(expected)]


def test_a_batch_has_the_targets_that_alignment_gives_its_rows(
    sources: list[TraceSource], tmp_path: Path
) -> None:
    rows = student_rows(sources, BYTES, tmp_path / "rows")
    chosen = list(best_rows(sources))
    assert len(rows.prompts) == len(rows.answers) == len(rows.lengths) == len(chosen) == 14
    known = []
    for order in ([0], [13, 2, 7, 8], list(range(14))):
        batch = collate(rows.prompts, rows.answers, order)
        targets = rows.soft_targets(batch)
        start = 0
        for number in order:
            index, row = chosen[number]
            teacher = sources[index].tokenizer
            encoded = encode_row(BYTES, "{prompt}\n", row.row["prompt"], row.row["answer"])
            assert rows.prompts[number] == encoded.prompt_ids
            assert rows.answers[number] == encoded.answer_ids
            assert rows.lengths[number] == encoded.tokens()
            soft = Alignment(teacher, BYTES, len(teacher)).soft_targets(row, encoded.answer_ids)
            part = slice(start, start + len(encoded.answer_ids))
            assert targets.ids.dtype == torch.int64 and targets.probs.dtype == torch.float32
            assert_array_equal(targets.ids[part].numpy(), soft.ids)
            assert_array_equal(targets.probs[part].numpy(), soft.probs)
            assert_array_equal(targets.known[part].numpy(), soft.known)
            start = part.stop
        assert start == len(targets.ids) == len(batch.labels)
        known = targets.known
    assert rows.aligned == round(float(known.float().mean()), 4) > 0.3


def test_a_batch_has_the_coefficients_of_its_tokens(tmp_path: Path) -> None:
    """Those of heads have a mean of 0 and a variance of 1 over all rows."""
    traces = rows_by(BPE, [1] * 7, 1, with_coefficients=4)
    source = TraceSource("", trace_of(tmp_path / "trace", BPE, traces, shard_rows=2), BPE)
    rows = student_rows([source], OTHER, tmp_path / "rows")
    assert list(rows.coefficients) == ["activation/0.1", "activation/0.2", "attention/0.2"]
    assert [one.layer for one in rows.coefficients.values()] == [1, 2, 2]
    expected: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in rows.coefficients}
    places, start = [], 0
    for row, answer in zip(traces, rows.answers, strict=True):
        positions = Alignment(BPE, OTHER, len(BPE)).soft_targets(row, answer).positions
        met = positions >= 0
        if row.coefficients:
            places += (start + np.nonzero(met)[0]).tolist()
        for name, values in row.coefficients.items():
            kind, layer = name.split("/")
            expected[f"{kind}/0.{layer}"].append(values[positions[met]].astype(np.float32))
        start += len(answer)
    whole = collate(rows.prompts, rows.answers, list(range(7)))
    for name, parts in expected.items():
        index, values = rows.anchored(name, whole)
        direct = np.concatenate(parts)
        if name.startswith("attention"):
            direct = direct - direct.mean(axis=0)
            direct /= np.sqrt((direct**2).mean())
            np.testing.assert_allclose(values.numpy(), direct, rtol=1e-5, atol=1e-6)
        else:
            assert_array_equal(values.numpy(), direct)
        assert index.tolist() == places
        assert rows.coefficients[name].rows.tolist() == [0, 1, 2, 3]
    # The batch's order counts, and rows without any have none.
    batch = collate(rows.prompts, rows.answers, [5, 2])
    index, values = rows.anchored("activation/0.1", batch)
    alone, same = rows.anchored("activation/0.1", collate(rows.prompts, rows.answers, [2]))
    assert_array_equal(index.numpy(), alone.numpy() + len(rows.answers[5]))
    assert torch.equal(values, same) and len(same) > 0


@pytest.mark.parametrize("rows, columns", [(1, 1), (7, 3), (40_000, 20), (100_001, 7)])
def test_mean_and_spread_do_not_depend_on_what_is_read_at_once(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(0).normal(1.0, 2.0, (rows, columns)).astype(np.float32)
    found = []
    for at_once in (1 << 14, 100):
        monkeypatch.setattr("modalities.text.standardising.ROWS_AT_ONCE", at_once)
        mean = column_means(lambda start, end: array[start:end], rows)
        found.append(mean)
        np.testing.assert_allclose(mean, array.astype(float).mean(axis=0), rtol=1e-3, atol=1e-3)
    assert_array_equal(*found)
    square = root_mean_square(lambda start, end: array[start:end], rows, columns)
    assert square == pytest.approx(np.sqrt((array.astype(float) ** 2).mean()), rel=1e-5)


def test_rows_are_laid_out_once_and_whole_or_not_at_all(
    sources: list[TraceSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalities.text.row_writing.ROWS_AT_ONCE", 4)
    student_rows(sources, BYTES, tmp_path / "whole")
    folder, done = tmp_path / "rows", []

    def dies(rows: int) -> None:
        done.append(rows)
        if rows >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        student_rows(sources, BYTES, folder, dies)
    assert done == [4, 8] and not folder.exists()
    student_rows(sources, BYTES, folder)
    names = {file.name for file in folder.iterdir()}
    assert names == {file.name for file in (tmp_path / "whole").iterdir()}
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    # Found there, they are not made again: the traces are not even looked at.
    assert len(student_rows([], BYTES, folder).answers) == 14


def test_a_trace_without_rows_teaches_nothing(tmp_path: Path) -> None:
    trace = trace_of(tmp_path / "trace", BPE, [])
    with pytest.raises(ValueError, match="there is nothing to learn from"):
        student_rows([TraceSource("", trace, BPE)], BPE, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_a_file_that_was_cut_off_is_an_error(sources: list[TraceSource], tmp_path: Path) -> None:
    rows = student_rows(sources, BYTES, tmp_path / "rows")
    file = tmp_path / "rows" / "targets"
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    batch = collate(rows.prompts, rows.answers, [13])
    with pytest.raises(OSError, match="is shorter than it was"):
        rows.soft_targets(batch)


ROWS, LETTERS = 4000, 249
# 700 MB for 20,000 rows of 250 tokens, and for these in proportion.
BOUND = 700_000_000 * ROWS // 20_000
EPOCH = """
import sys
from pathlib import Path
from modalities.text.sequences import batch_rows, collate
from modalities.text.student_rows import student_rows
from modalities.text.trace_sources import TraceSource
from opened_models.tokenizers import open_tokenizer

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

tokenizer = open_tokenizer(Path(sys.argv[1]) / "tokenizer")
tokenizer(["a b"]), collate([[1]], [[1]], [0])
before = peak()
source = TraceSource("", Path(sys.argv[1]) / "trace", tokenizer)
rows = student_rows([source], tokenizer, Path(sys.argv[1]) / "rows")
tokens = 0
for picked in batch_rows(rows.lengths, 16, len(rows.lengths) // 16, seed=1):
    batch = collate(rows.prompts, rows.answers, picked)
    tokens += len(rows.soft_targets(batch).ids)
    tokens += len(rows.anchored("attention/0.1", batch)[0])
print(tokens, peak() - before)
"""


def test_memory_does_not_grow_with_the_tokens(tmp_path: Path) -> None:
    """Rows are laid out and all read once, in a process of its own; anchors in half of them."""
    BYTES.save_pretrained(tmp_path / "tokenizer")
    generator = np.random.default_rng(0)
    size = LETTERS + 1
    ids = generator.integers(97, 123, (ROWS, LETTERS), dtype=np.uint8)
    of_letter = np.array([*BYTES("".join(map(chr, range(97, 123)))).input_ids], dtype=np.uint16)
    log_probs = np.full((size, 12), -4.0, dtype=np.float16)
    top_ids = np.tile(np.arange(12, dtype=np.uint16), (size, 1))
    coefficients = {"attention/1": np.ones((size, 32), dtype=np.float16)}
    rows = [
        TracedRow(
            {
                "id": f"{number:05d}",
                "prompt": "p",
                "answer": bytes(letters).decode(),
                "merit": 1.0,
                "log_prob": -1.0,
            },
            np.append(of_letter[letters - 97], np.uint16(BYTES.eos_token_id)),
            np.append(np.arange(1, size), LETTERS).astype(np.int32),
            log_probs[:, 0],
            top_ids,
            log_probs,
            log_probs[:, 0],
            coefficients if number < ROWS // 2 else {},
        )
        for number, letters in enumerate(ids)
    ]
    trace_of(tmp_path / "trace", BYTES, rows, shard_rows=2048)
    about = json.loads((tmp_path / "trace" / "trace.json").read_text(encoding="utf-8"))
    (tmp_path / "trace" / "trace.json").write_text(json.dumps(about | {"top_k": 12}))
    done = subprocess.run(
        [sys.executable, "-c", EPOCH, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    tokens, grown = map(int, done.stdout.split())
    assert tokens == (ROWS + ROWS // 2) * size
    assert grown < BOUND and grown < memory_bytes(ROWS, anchors=1)


def test_the_rows_stay_readable_while_their_folder_is_deleted(
    sources: list[TraceSource], tmp_path: Path
) -> None:
    rows: StudentRows = student_rows(sources, BYTES, tmp_path / "rows")
    assert rows.answers[0:2] == [rows.answers[0], rows.answers[1]] and rows.answers[-1]
    with pytest.raises(IndexError):
        rows.answers[14]
