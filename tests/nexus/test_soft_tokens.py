"""States in place of embeddings: the embeddings of a text, given as states, are that text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nexus.backbone import open_decoder
from nexus.decoding import Decoder, Row, answer_log_probs, decode
from nexus.packing import load_backbone
from nexus.transformers_decoder import TransformersDecoder
from targets.pack.layout import embedding_name

TEXTS = [[5, 9, 17, 33, 2, 40], [7, 7, 21], [60, 12, 13, 14]]


@pytest.fixture(params=["lean", "transformers"])
def decoder(request: pytest.FixtureRequest, packed_backbones: dict[str, Path]) -> Decoder:
    folder = packed_backbones["none"]
    if request.param == "lean":
        return open_decoder(folder)
    return TransformersDecoder(load_backbone(folder))


@pytest.fixture
def embedding(packed_backbones: dict[str, Path]) -> torch.Tensor:
    folder = packed_backbones["none"]
    model = load_backbone(folder)
    name = embedding_name(folder / "config.json")
    return dict(model.named_parameters())[name].detach()


@pytest.mark.parametrize("counts", [(2, 0, 1), (5, 2, 3), (1, 1, 1)])
def test_embeddings_given_as_states_are_the_text(
    decoder: Decoder, embedding: torch.Tensor, counts: tuple[int, int, int]
) -> None:
    rows = [
        Row(text[count:], 8, soft=embedding[text[:count]] if count else None)
        for text, count in zip(TEXTS, counts, strict=True)
    ]
    expected = decode(decoder, [Row(text, 8) for text in TEXTS], ends=(1,))
    assert decode(decoder, rows, ends=(1,)) == expected
    answers = [[11, 12], [13], [14, 15, 16]]
    likely = answer_log_probs(decoder, TEXTS, answers)
    soft = answer_log_probs(
        decoder, [row.prompt for row in rows], answers, soft=[row.soft for row in rows]
    )
    assert soft == pytest.approx(likely, rel=1e-4)


def test_other_states_are_another_text(decoder: Decoder, embedding: torch.Tensor) -> None:
    def likely(states: torch.Tensor) -> float:
        return answer_log_probs(decoder, [[40]], [[3, 4]], soft=[states])[0]

    assert likely(embedding[[5, 9]]) != pytest.approx(likely(embedding[[9, 5]]), rel=1e-4)


def test_a_prompt_of_soft_tokens_alone_is_answered(
    decoder: Decoder, embedding: torch.Tensor
) -> None:
    (alone,) = decode(decoder, [Row([], 5, soft=embedding[TEXTS[0]])], ends=(1,))
    assert alone == decode(decoder, [Row(TEXTS[0], 5)], ends=(1,))[0]
