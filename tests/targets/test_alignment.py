"""Distributions of a teacher in the student's vocabulary, across tokenizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.teachers.encoding import answer_byte_ends, encode_row, token_bytes
from targets.tokenizer.training import trained_tokenizer
from targets.trace.shards import TracedRow, index_type, traced_rows, write_shard
from targets.training.alignment import Alignment
from targets.training.distillation import tail_divergence

TEXTS = [
    "the price is 42 euros and 7 cents",
    'call {"name": "timer", "arguments": {"minutes": 30}}',
    "naïve café 東京タワー 🙂👍 déjà vu",
    "def f(x):\n    return x * 3 + 11",
] * 4
BPE = trained_tokenizer(TEXTS, "bpe", 330)
OTHER = trained_tokenizer(TEXTS[:2], "bpe", 300)
BYTES = trained_tokenizer(TEXTS, "bytes", 258)
PAIRS = [(BPE, BPE), (BYTES, BPE), (BPE, BYTES), (OTHER, BPE), (BPE, OTHER)]
ANSWERS = [*TEXTS[:4], "7", "1234567890", "東京", "🙂", "a🙂b 9", ""]


def traced(tokenizer, answer: str, seed: int = 0, k: int = 8) -> TracedRow:
    """A row as a teacher with random but proper distributions would trace it."""
    ids = encode_row(tokenizer, "{prompt}\n", "p", answer).answer_ids
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(ids), len(tokenizer), generator=generator) * 2
    log_probs = logits.log_softmax(-1)
    top = log_probs.topk(k)
    rest = log_probs.scatter(1, top.indices, float("-inf"))
    return TracedRow(
        {"id": "0", "prompt": "p", "answer": answer, "merit": 1.0, "log_prob": -1.0},
        np.array(ids, dtype=np.uint16),
        np.array(answer_byte_ends(token_bytes(tokenizer), ids, answer), dtype=np.int32),
        log_probs.gather(1, torch.tensor(ids)[:, None])[:, 0].numpy().astype(np.float16),
        top.indices.numpy().astype(np.uint16),
        top.values.numpy().astype(np.float16),
        rest.logsumexp(-1).numpy().astype(np.float16),
        {},
    )


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("tokenizer", [BPE, OTHER, BYTES])
def test_tokens_spell_the_answer_in_bytes(tokenizer, answer: str) -> None:
    ids = encode_row(tokenizer, "{prompt}\n", "p", answer).answer_ids
    ends = answer_byte_ends(token_bytes(tokenizer), ids, answer)
    assert ends[-1] == len(answer.encode()) and ends == sorted(ends)
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[:-1]) == answer


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_same_tokenizer_carries_distributions_over_as_they_are(answer: str) -> None:
    row = traced(BPE, answer)
    soft = Alignment(BPE, BPE, len(BPE)).soft_targets(row, row.answer_ids.tolist())
    special = np.isin(row.top_ids, [BPE.pad_token_id])
    assert soft.known.all()
    np.testing.assert_array_equal(soft.ids[~special], row.top_ids[~special].astype(np.int32))
    np.testing.assert_allclose(
        soft.probs[~special], np.exp(row.top_log_probs.astype(np.float32))[~special], rtol=1e-6
    )


@pytest.mark.parametrize("teacher, student", PAIRS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_no_mass_appears_and_no_token_stands_twice(teacher, student, answer: str) -> None:
    row = traced(teacher, answer)
    ids = encode_row(student, "{prompt}\n", "p", answer).answer_ids
    soft = Alignment(teacher, student, len(teacher)).soft_targets(row, ids)
    assert (soft.probs >= 0).all() and (soft.probs.sum(-1) <= 1.001).all()
    for line in soft.ids:
        used = line[line >= 0]
        assert len(set(used.tolist())) == len(used)
    # Both start at the first byte and both end at the last: there they always meet.
    assert soft.known[0] and soft.known[-1]


def test_bytes_of_one_token_multiply_by_the_chain_rule() -> None:
    answer = "euros"
    row = traced(BYTES, answer)
    ids = encode_row(BPE, "{prompt}\n", "p", answer).answer_ids
    soft = Alignment(BYTES, BPE, len(BYTES)).soft_targets(row, ids)
    size = len(token_bytes(BPE)[ids[0]])
    assert size > 1
    expected = np.exp(row.token_log_probs[:size].astype(np.float32).sum())
    column = soft.ids[0].tolist().index(ids[0])
    assert soft.probs[0, column] == pytest.approx(expected, rel=1e-3)


def test_a_long_teacher_token_gives_its_mass_to_the_bytes_it_starts_with() -> None:
    answer = "euros"
    row = traced(BPE, answer)
    ids = encode_row(BYTES, "{prompt}\n", "p", answer).answer_ids
    soft = Alignment(BPE, BYTES, len(BPE)).soft_targets(row, ids)
    pieces = token_bytes(BPE)
    mass = sum(
        float(np.exp(np.float32(log_prob)))
        for index, log_prob in zip(row.top_ids[0], row.top_log_probs[0], strict=True)
        if pieces[index] and pieces[index].startswith(b"e")
    )
    column = soft.ids[0].tolist()
    got = soft.probs[0, column.index(ids[0])] if ids[0] in column else 0.0
    assert got == pytest.approx(mass, rel=1e-3)
    # Inside the teacher's token it says nothing of the next byte.
    inside = len(pieces[int(row.answer_ids[0])]) > 1
    assert soft.known[1] == (not inside)


@given(seed=st.integers(0, 1 << 20), k=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_the_divergence_is_a_lower_bound_that_is_zero_on_agreement(seed: int, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(4, 12, generator=generator).log_softmax(-1)
    student = torch.randn(4, 12, generator=generator).log_softmax(-1)
    top = teacher.topk(k)
    coarse = tail_divergence(student, top.indices, top.values.exp())
    full = (teacher.exp() * (teacher - student)).sum(-1)
    assert (coarse <= full + 1e-4).all() and (coarse > -1e-4).all()
    same = tail_divergence(teacher, top.indices, top.values.exp())
    assert same.abs().max() < 1e-3


def test_shards_come_back_as_they_were_written(tmp_path) -> None:
    rows = [traced(BPE, answer, seed) for seed, answer in enumerate(ANSWERS)]
    write_shard(tmp_path, 0, rows[:6])
    write_shard(tmp_path, 1, rows[6:])
    for before, after in zip(rows, traced_rows(tmp_path), strict=True):
        assert before.row == after.row
        np.testing.assert_array_equal(before.top_ids, after.top_ids)
        np.testing.assert_array_equal(before.top_log_probs, after.top_log_probs)
        np.testing.assert_array_equal(before.byte_ends, after.byte_ends)


def test_indices_take_two_bytes_where_the_vocabulary_allows() -> None:
    assert index_type(65_536) is np.uint16 and index_type(65_537) is np.uint32
