"""Distributions of a teacher in the student's vocabulary, across tokenizers."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from modalities.text.alignment import Alignment, FirstToken
from modalities.text.distillation_loss import SoftTargets, distillation_loss, tail_divergence
from modalities.text.encoding import answer_byte_ends, encode_row, token_bytes
from modalities.text.shards import TracedRow, index_type, traced_rows, write_shard
from modalities.text.student_rows import student_rows
from modalities.text.trace_sources import TraceSource
from targets.tokenizer.training import trained_tokenizer

TEXTS = [
    "the price is 42 euros and 7 cents",
    'call {"name": "timer", "arguments": {"minutes": 30}}',
    "naïve café 東京タワー 🙂👍 déjà vu",
    "def f(x):\n    return x * 3 + 11",
] * 4
BPE = trained_tokenizer(TEXTS, "bpe", 330)
OTHER = trained_tokenizer(TEXTS[:2], "bpe", 300)
BYTES = trained_tokenizer(TEXTS, "bytes", 258)


def sentence_pieces() -> PreTrainedTokenizerFast:
    """Llama's way: a space before every text, marks for spaces, `<0xNN>`, `<s>` before a prompt."""
    special = ["<unk>", "<s>", "</s>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    learned = json.loads(trained.to_str())["model"]
    names = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.pre_tokenizer = trained.pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always"), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


PIECES = sentence_pieces()
EVERY = [BPE, OTHER, BYTES, PIECES]
PAIRS = [(teacher, student) for teacher in EVERY for student in EVERY]
ANSWERS = [
    *TEXTS[:4],
    "7",
    "1234567890",
    "東京",
    "🙂",
    "a🙂b 9",
    "👩‍👩‍👧",
    " two  spaces",
    "a\n\nb",
    "",
]


def traced(
    tokenizer, answer: str, seed: int = 0, k: int = 8, template: str = "{prompt}\n"
) -> TracedRow:
    """A row as a teacher with random but proper distributions would trace it."""
    ids = encode_row(tokenizer, template, "p", answer).answer_ids
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(ids), len(tokenizer), generator=generator) * 2
    log_probs = logits.log_softmax(-1)
    top = log_probs.topk(min(k, len(tokenizer)))
    rest = log_probs.scatter(1, top.indices, float("-inf"))
    return TracedRow(
        {"id": "0", "prompt": "p", "answer": answer, "merit": 1.0, "log_prob": -1.0},
        np.array(ids, dtype=np.uint16),
        np.array(
            answer_byte_ends(token_bytes(tokenizer), ids, answer) or [-1] * len(ids), dtype=np.int32
        ),
        log_probs.gather(1, torch.tensor(ids)[:, None])[:, 0].numpy().astype(np.float16),
        top.indices.numpy().astype(np.uint16),
        top.values.numpy().astype(np.float16),
        rest.logsumexp(-1).clamp(min=-60.0).numpy().astype(np.float16),
        {},
    )


@cache
def alignment(teacher, student) -> Alignment:
    return Alignment(teacher, student, len(teacher))


def carried(teacher, student, answer: str, seed: int = 0, k: int = 8):
    """The row as the teacher traced it, the student's tokens of it, and their soft targets."""
    row = traced(teacher, answer, seed, k)
    ids = encode_row(student, "{prompt}\n", "p", answer).answer_ids
    return row, ids, alignment(teacher, student).soft_targets(row, ids)


def said(soft, place: int, token: int) -> float:
    """What the soft targets give to one token."""
    columns = soft.ids[place].tolist()
    return float(soft.probs[place, columns.index(token)]) if token in columns else 0.0


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("tokenizer", EVERY)
def test_tokens_spell_the_answer_in_bytes(tokenizer, answer: str) -> None:
    ids = encode_row(tokenizer, "{prompt}\n", "p", answer).answer_ids
    ends = answer_byte_ends(token_bytes(tokenizer), ids, answer)
    assert ends[-1] == len(answer.encode()) and ends == sorted(ends)
    assert ids[-1] == tokenizer.eos_token_id


@given(answer=st.text(max_size=12), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_same_tokenizer_carries_distributions_over_as_they_are(answer: str, seed: int) -> None:
    for tokenizer in EVERY:
        row, _, soft = carried(tokenizer, tokenizer, answer, seed)
        assert soft.known.all()
        assert soft.positions.tolist() == list(range(len(row.answer_ids)))
        np.testing.assert_array_equal(soft.ids, row.top_ids.astype(np.int32))
        expected = np.exp(row.top_log_probs.astype(np.float32))
        np.testing.assert_array_equal(soft.probs, expected)


def check_pair(teacher, student, answer: str, seed: int) -> None:
    """What holds of every pair of tokenizers and every answer."""
    _, ids, soft = carried(teacher, student, answer, seed)
    assert (soft.probs >= 0).all() and (soft.probs.sum(-1) <= 1.001).all()
    assert (soft.probs[soft.ids < 0] == 0).all() and not soft.ids[~soft.known].clip(0).any()
    for line in soft.ids:
        used = line[line >= 0]
        assert len(set(used.tolist())) == len(used)
    if any(soft.known):
        # Both start at the first byte and both end at the last: there they always meet.
        starts = answer_byte_ends(token_bytes(student), ids, answer)
        first = next(place for place, end in enumerate(starts) if end > 0 or end == starts[-1])
        assert soft.known[first] and soft.known[-1]
        assert (soft.positions >= 0)[[first, -1]].all()


@pytest.mark.parametrize("teacher, student", PAIRS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_no_mass_appears_and_no_token_stands_twice(teacher, student, answer: str) -> None:
    check_pair(teacher, student, answer, seed=0)
    assert carried(teacher, student, answer)[2].known.any()


@given(pair=st.sampled_from(PAIRS), answer=st.text(max_size=12), seed=st.integers(0, 99))
@example(pair=(BYTES, BPE), answer="<|end|>", seed=0)  # text that is a special token's
@example(pair=(PIECES, BPE), answer="</s> <s>", seed=0)
@settings(max_examples=150, deadline=None)
def test_that_holds_for_any_text(pair, answer: str, seed: int) -> None:
    check_pair(*pair, answer, seed)


@pytest.mark.parametrize("teacher, student", [(t, s) for t, s in PAIRS if t is not s])
def test_a_token_stands_for_one_that_begins_as_it_does(teacher, student) -> None:
    first, pieces = FirstToken(student), token_bytes(student)
    for piece in token_bytes(teacher):
        if piece:
            token = first(piece)
            assert token == -1 or (pieces[token] and piece.startswith(pieces[token]))
            assert piece not in pieces or pieces[token] == piece


@given(answer=st.sampled_from(TEXTS[:4]), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_bytes_of_one_token_multiply_by_the_chain_rule(answer: str, seed: int) -> None:
    row, ids, soft = carried(BYTES, BPE, answer, seed)
    starts = [0, *answer_byte_ends(token_bytes(BPE), ids, answer)]
    log_probs = row.token_log_probs.astype(np.float32)
    longer = 0
    for place, token in enumerate(ids[:-1]):
        size = starts[place + 1] - starts[place]
        if size > 1:
            expected = np.exp(log_probs[starts[place] : starts[place + 1]].sum())
            assert said(soft, place, token) == pytest.approx(expected, rel=1e-3)
            longer += 1
    assert longer


@given(answer=st.sampled_from(ANSWERS[:-1]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_bytes_inside_a_token_multiply_to_what_begins_with_it(answer: str, seed: int) -> None:
    """Nothing is cut off here, so each byte's share is exact and they telescope."""
    row, ids, soft = carried(BPE, BYTES, answer, seed, k=len(BPE))
    pieces = token_bytes(BPE)
    assert soft.known.all()
    start = 0
    for token, end in enumerate(row.byte_ends[:-1].tolist()):
        actual = pieces[int(row.answer_ids[token])]
        mass = sum(
            float(np.exp(np.float32(log_prob)))
            for index, log_prob in zip(row.top_ids[token], row.top_log_probs[token], strict=True)
            if (pieces[index] or b"").startswith(actual)
        )
        got = np.prod([said(soft, place, ids[place]) for place in range(start, end)])
        assert got == pytest.approx(mass, rel=1e-2)
        start = end


def test_inside_a_token_the_tail_may_be_anything() -> None:
    """`euros` was said at 0.6, `euro` at 0.1, `x` at 0.1: after `e`, 0.2 may go on otherwise."""
    words = ["euros", "euro", "x"]
    teacher = trained_tokenizer(["euros euros euro euro x"] * 9, "bpe", 280)
    ids = [teacher(word, add_special_tokens=False).input_ids for word in words]
    assert [len(one) for one in ids] == [1, 1, 1]
    top = np.array([[one[0] for one in ids], [teacher.eos_token_id] + ids[1] + ids[2]])
    probs = np.array([[0.6, 0.1, 0.1], [0.9, 0.05, 0.05]])
    row = TracedRow(
        {"id": "0", "prompt": "p", "answer": "euros", "merit": 1.0, "log_prob": -1.0},
        top[:, 0].astype(np.uint16),
        np.array([5, 5], dtype=np.int32),
        np.log(probs[:, 0]).astype(np.float16),
        top.astype(np.uint16),
        np.log(probs).astype(np.float16),
        np.log([0.2, 1e-9]).astype(np.float16),
        {},
    )
    letters = [BYTES(letter, add_special_tokens=False).input_ids[0] for letter in "euros"]
    soft = Alignment(teacher, BYTES, len(teacher)).soft_targets(row, [*letters, BYTES.eos_token_id])
    got = [said(soft, place, letter) for place, letter in enumerate(letters)]
    # After `euro` either an `s`, or no telling what: that `euro` ended there is all that is known.
    expected = [0.7, 0.7 / 0.9, 0.7 / 0.9, 0.7 / 0.9, 0.6 / 0.9]
    assert got == pytest.approx(expected, rel=1e-2)
    assert said(soft, 5, BYTES.eos_token_id) == pytest.approx(0.9, rel=1e-2)
    assert soft.known.all() and soft.positions.tolist() == [0, -1, -1, -1, -1, 1]


@pytest.mark.parametrize("student", [BPE, BYTES])
def test_a_space_before_every_text_is_not_said(student) -> None:
    """An answer that was cut alone begins with SentencePiece's own space, which it has not."""
    answer = "price 7"
    row = traced(PIECES, answer, k=len(PIECES))
    pieces = token_bytes(PIECES)
    alone = [*PIECES(answer, add_special_tokens=False).input_ids, PIECES.eos_token_id]
    assert pieces[alone[0]][:1] == b" " and len(alone) <= len(row.answer_ids)
    ends = np.array(answer_byte_ends(pieces, alone, answer), dtype=np.int32)
    cut = {
        name: getattr(row, name)[: len(alone)]
        for name in ("token_log_probs", "top_ids", "top_log_probs", "tail_log_probs")
    }
    # The teacher says what it said with nine tenths.
    cut["top_ids"], cut["top_log_probs"] = cut["top_ids"].copy(), cut["top_log_probs"].copy()
    for place, token in enumerate(alone):
        there = cut["top_ids"][place].tolist().index(token)
        cut["top_log_probs"][place] = np.log(0.1 / len(pieces))
        cut["top_log_probs"][place, there] = np.log(0.9)
    cut["token_log_probs"] = np.full(len(alone), np.log(0.9), dtype=np.float16)
    row = TracedRow(row.row, np.array(alone, dtype=np.uint16), ends, coefficients={}, **cut)
    ids = encode_row(student, "{prompt}\n", "p", answer).answer_ids
    soft = Alignment(PIECES, student, len(PIECES)).soft_targets(row, ids)
    assert soft.known.all()
    assert all(0.8 < said(soft, place, token) <= 1.001 for place, token in enumerate(ids))


@pytest.mark.parametrize("teacher, student", PAIRS)
def test_the_end_is_the_end_in_every_vocabulary(teacher, student) -> None:
    row, ids, soft = carried(teacher, student, "ends 7", k=300)
    assert ids[-1] == student.eos_token_id
    expected = np.exp(np.float32(row.token_log_probs[-1]))
    assert said(soft, -1, student.eos_token_id) == pytest.approx(expected, rel=1e-3)


def test_equal_vocabularies_may_end_answers_with_different_tokens() -> None:
    student = trained_tokenizer(TEXTS, "bpe", 330)
    assert student.get_vocab() == BPE.get_vocab()
    student.eos_token = BPE.pad_token
    row, ids, soft = carried(BPE, student, "ends 7", k=len(BPE))
    assert ids[-1] == student.eos_token_id != row.answer_ids[-1]
    expected = np.exp(row.token_log_probs[-1].astype(np.float32))
    assert said(soft, -1, student.eos_token_id) >= expected > 0


@pytest.mark.parametrize("student", [BPE, BYTES, PIECES])
@pytest.mark.parametrize("answer", ["two  spaces", " 7", "東京🙂", "\n"])
def test_a_chat_template_leaves_the_answer_alone(student, answer: str) -> None:
    """Marks of turns are one token each to the teacher, and mere text to the student."""
    marks = ["<|user|>", "<|assistant|>"]
    teacher = trained_tokenizer(TEXTS, "bpe", 320)
    teacher.add_special_tokens({"additional_special_tokens": marks})
    template = "<|user|>{prompt}<|assistant|>"
    encoded = encode_row(teacher, template, "p", answer)
    marked = {teacher.convert_tokens_to_ids(mark) for mark in marks}
    assert marked < set(encoded.prompt_ids) and marked.isdisjoint(encoded.answer_ids)
    row = traced(teacher, answer, template=template)
    ids = encode_row(student, template, "p", answer).answer_ids
    soft = Alignment(teacher, student, len(teacher)).soft_targets(row, ids)
    assert soft.known[-1] and soft.positions[-1] == len(row.answer_ids) - 1
    assert (soft.positions >= 0).sum() > 1
    # Whatever of the teacher's mass lies on a mark reaches none of the student's tokens.
    assert (soft.probs.sum(-1) <= 1.001).all() and (soft.ids < len(student)).all()


@pytest.mark.parametrize("answer", ["<|end|>", "a<|pad|>b", "x</s>"])
@pytest.mark.parametrize("teacher, student", [(BPE, BYTES), (BYTES, BPE), (PIECES, BPE)])
def test_where_tokens_do_not_spell_the_text_nothing_is_said(teacher, student, answer: str) -> None:
    """A special token's own name in an answer: its bytes cannot be told from those that it cuts."""
    spelled = [
        bool(answer_byte_ends(token_bytes(one), ids, answer))
        for one in (teacher, student)
        for ids in [encode_row(one, "{prompt}\n", "p", answer).answer_ids]
    ]
    assert carried(teacher, student, answer)[2].known.any() == all(spelled)


def test_a_learned_token_that_the_teacher_is_silent_on_learns_the_answer_alone() -> None:
    labels = torch.tensor([6, 7])
    log_probs = torch.randn(2, 12, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    ids, probs = torch.tensor([[6, 8], [-1, -1]]), torch.tensor([[0.6, 0.3], [0.0, 0.0]])
    targets = SoftTargets(ids, probs, torch.tensor([True, False]))
    expected = (
        0.3 * -log_probs[0, 6]
        + 0.7 * tail_divergence(log_probs[:1], ids[:1], probs[:1])[0]
        - log_probs[1, 7]
    ) / 2
    assert distillation_loss(log_probs, labels, targets, 0.7) == pytest.approx(float(expected))


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


@pytest.mark.parametrize("answer, anchored", [("7", {"activation/0.0"}), ("</s>", set())])
def test_what_spells_no_answer_anchors_nothing(tmp_path, answer: str, anchored: set[str]) -> None:
    """Coefficients of a row are of no use where none of its tokens has a place in the answer."""
    row = traced(PIECES, answer)
    row.coefficients["activation/0"] = np.ones((len(row.answer_ids), 2), dtype=np.float16)
    write_shard(tmp_path, 0, [row])
    about = {"vocabulary": len(PIECES), "template": "{prompt}\n", "depth": 1, "top_k": 8}
    (tmp_path / "trace.json").write_text(json.dumps(about), encoding="utf-8")
    rows = student_rows([TraceSource("", tmp_path, PIECES)], BPE, tmp_path / "rows")
    assert set(rows.coefficients) == anchored


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
