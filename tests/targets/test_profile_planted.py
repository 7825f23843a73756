"""Planted truth: each stage is given a model whose answer is known, and finds it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modalities.text.encoding import Encoded
from modalities.text.pilot_batches import batches
from nexus.decoding import greedy_decode
from opened_models.batches import Batch
from opened_models.losses import answer_nll
from opened_models.structure import Structure, find_structure
from opened_models.surgery import gated_heads, reading, reading_input, remove_blocks, run_blocks
from targets.profile.ablation import ablate
from targets.profile.activation_mapping import ActivationMap
from targets.profile.head_importance import head_importance
from targets.profile.moments import MomentSums
from targets.profile.reconstruction import (
    check_reconstruction,
    fall_interval,
    project_stream,
    stored_basis,
)
from targets.profile.sinks import SinkFilter
from targets.profile.spectral_analysis import TextSums, read_streams
from targets.profile.streaming_pca import spectrum

T = TypeVar("T")
PROMPTS = [[3 + (7 * i + 3 * j) % 40 for j in range(3 + i % 4)] for i in range(12)]
END = 2


def model_of(
    writing_blocks: Collection[int],
    heads: Collection[tuple[int, int]] | None = None,
    embedding_rank: int | None = None,
) -> Structure:
    """Four blocks, four heads in two groups, of which only some write to the stream.

    heads: the (block, head) whose outputs reach the stream; None: all of the writing blocks.
    """
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.4)
    if embedding_rank is not None:
        left, right = torch.randn(48, embedding_rank), torch.randn(embedding_rank, 32)
        model.model.embed_tokens.weight.copy_(left @ right / embedding_rank**0.5)
    for index, layer in enumerate(model.model.layers):
        if index not in writing_blocks:
            layer.mlp.down_proj.weight.zero_()
            layer.self_attn.o_proj.weight.zero_()
        if heads is not None:
            layer.mlp.down_proj.weight.zero_()
            for head in range(4):
                if (index, head) not in heads:
                    layer.self_attn.o_proj.weight[:, 8 * head : 8 * head + 8] = 0
    return find_structure(model)


def now(name: str, make: Callable[[], T]) -> T:
    """Nothing was finished before."""
    return make()


def own_answers(structure: Structure) -> list[list[int]]:
    return greedy_decode(structure.model, PROMPTS, max_new_tokens=6, eos_token_id=END)


def own_batches(structure: Structure) -> list[Batch]:
    answers = own_answers(structure)
    rows = [Encoded(p, [*a, END]) for p, a in zip(PROMPTS, answers, strict=True)]
    return list(batches(rows, 64, structure))


def agreement(structure: Structure, expected: list[list[int]]) -> list[float]:
    return [float(a == b) for a, b in zip(own_answers(structure), expected, strict=True)]


@pytest.mark.parametrize("carrier", [0, 2, 3])
def test_the_one_block_that_carries_everything_is_the_key_layer(carrier: int) -> None:
    structure = model_of({carrier})
    expected = own_answers(structure)

    def measure(indices: Collection[int]) -> float:
        with remove_blocks(indices, structure):
            scores = agreement(structure, expected)
        return sum(scores) / len(scores)

    found = ablate(
        structure,
        own_batches(structure),
        measure,
        budget=3,
        higher_is_better=True,
        key_layer_drop=0.1,
        decodes=2,
        once=now,
    )
    assert found.key_layers == (carrier,)
    assert found.order[0] == carrier
    assert found.metric == 1.0
    assert found.metric_drop(carrier) > 0.1
    for layer in range(4):
        if layer != carrier:
            assert found.rises[layer] == pytest.approx(0.0, abs=1e-6)
    # What is removed on top of the carrier adds nothing.
    assert found.joint_rises == pytest.approx([found.joint_rises[0]] * 3, abs=1e-5)


@pytest.mark.parametrize("by_gradient", [True, False], ids=["gradient", "ablation"])
def test_the_one_head_that_writes_is_the_important_one(by_gradient: bool) -> None:
    structure = model_of(range(4), heads={(1, 2)})
    found = head_importance(structure, own_batches(structure), now, by_gradient=by_gradient)
    for layer in range(4):
        for head in range(4):
            assert (found.heads[layer][head] > 1e-3) == ((layer, head) == (1, 2))
        for group in range(2):
            assert (found.groups[layer][group] > 1e-3) == ((layer, group) == (1, 1))
    assert len(found.removed) == 2
    assert (1, 1) not in found.removed
    assert found.heads_after[1][2] == pytest.approx(found.heads[1][2], rel=1e-3)


COPIED = 16  # tokens that can be copied, ids 3 and up


def copying_model(strength: float = 0.25) -> Structure:
    """One head of twelve copies what a prompt says most often: block 1's head 2, of group 1.

    It attends evenly and writes the tokens' identities where the output reads them. Head 3 shares
    its keys and values; it and all others write where nothing reads.
    """
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=3 + COPIED,
        hidden_size=64,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=COPIED,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    identity = torch.eye(COPIED)
    model.model.embed_tokens.weight.zero_()[3:, :COPIED] = identity
    model.lm_head.weight.zero_()[3:, COPIED : 2 * COPIED] = identity
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.zero_()
        layer.self_attn.v_proj.weight.zero_()[:, :COPIED] = torch.cat([identity, identity])
        layer.self_attn.o_proj.weight.mul_(0.1)[: 2 * COPIED] = 0
        layer.mlp.down_proj.weight[: 2 * COPIED] = 0
    copier = model.model.layers[1].self_attn.o_proj.weight
    copier[COPIED : 2 * COPIED, 2 * COPIED : 3 * COPIED] = strength * identity
    copier[2 * COPIED :, 2 * COPIED : 3 * COPIED] = 0
    return find_structure(model)


@pytest.mark.parametrize("by_gradient", [True, False], ids=["gradient", "ablation"])
def test_the_head_that_does_all_the_copying_is_found(by_gradient: bool) -> None:
    structure = copying_model()
    prompts = [[3 + (i + j) % COPIED for j in (0, 1, 0, 2, 0, 3)] for i in range(COPIED)]

    def answers() -> list[list[int]]:
        return greedy_decode(structure.model, prompts, max_new_tokens=2, eos_token_id=END)

    copied = [[prompt[0], prompt[0]] for prompt in prompts]
    assert answers() == copied
    rows = [Encoded(p, a) for p, a in zip(prompts, copied, strict=True)]
    pilot = list(batches(rows, 64, structure))
    found = head_importance(structure, pilot, now, by_gradient=by_gradient)
    heads = {(b, h): v for b, values in enumerate(found.heads) for h, v in enumerate(values)}
    groups = {(b, g): v for b, values in enumerate(found.groups) for g, v in enumerate(values)}
    assert max(heads, key=lambda head: heads[head]) == (1, 2)
    assert max(groups, key=lambda group: groups[group]) == (1, 1)
    # What others write reaches the answer by the size of the stream alone.
    assert heads[1, 2] > 10 * sorted(heads.values())[-2]

    only = {block: torch.zeros(1, 4) for block in range(3)}
    only[1][0, 2] = 1.0
    with gated_heads(only, structure):
        assert answers() == copied
    without = {1: torch.tensor([[1.0, 1.0, 0.0, 1.0]])}
    with gated_heads(without, structure):
        assert all(a != c for a, c in zip(answers(), copied, strict=True))

    def measure(indices: Collection[int]) -> float:
        with remove_blocks(indices, structure):
            return sum(a == c for a, c in zip(answers(), copied, strict=True)) / len(copied)

    removal = ablate(
        structure,
        pilot,
        measure,
        budget=2,
        higher_is_better=True,
        key_layer_drop=0.1,
        decodes=3,
        once=now,
    )
    assert removal.key_layers == (1,)


def test_two_blocks_that_do_the_same_are_found_by_removing_both() -> None:
    structure = copying_model(strength=1.0)
    layers = structure.model.model.layers
    layers[0].self_attn.o_proj.weight.zero_()
    layers[2].load_state_dict(layers[1].state_dict())
    prompts = [[3 + (i + j) % COPIED for j in (0, 1, 0, 2, 0, 3)] for i in range(COPIED)]
    rows = [Encoded(prompt, [prompt[0], prompt[0]]) for prompt in prompts]
    found = ablate(
        structure,
        list(batches(rows, 64, structure)),
        lambda indices: 1.0,
        budget=3,
        higher_is_better=True,
        key_layer_drop=0.1,
        decodes=0,
        once=now,
    )
    # One by one each seems idle; greedily, the second counts once the first is gone.
    first_gone, second_gone = sorted(found.order.index(block) for block in (1, 2))
    assert found.joint_rises[second_gone] > 1.0
    assert found.joint_rises[first_gone] < 0.1
    assert max(found.rises) < 0.1


def test_gradient_and_ablation_agree_on_what_matters() -> None:
    structure = model_of(range(4), heads={(0, 0), (1, 2), (3, 3)})
    pilot = own_batches(structure)
    by_gradient = head_importance(structure, pilot, now, by_gradient=True)
    by_ablation = head_importance(structure, pilot, now, by_gradient=False)
    for found in (by_gradient, by_ablation):
        nonzero = {
            (layer, head)
            for layer in range(4)
            for head in range(4)
            if abs(found.heads[layer][head]) > 1e-6
        }
        assert nonzero == {(0, 0), (1, 2), (3, 3)}


def test_a_gate_gradient_is_the_slope_of_the_loss() -> None:
    structure = model_of(range(4))
    pilot = own_batches(structure)
    found = head_importance(structure, pilot, now, by_gradient=True, removed_share=0.0)

    def losses(gate: float) -> torch.Tensor:
        factors = torch.ones(1, 4)
        factors[0, 1] = gate
        with torch.no_grad(), gated_heads({2: factors}, structure):
            return torch.cat([answer_nll(structure, batch) for batch in pilot])

    slope = (losses(1.01) - losses(0.99)) / 0.02
    assert found.heads[2][1] == pytest.approx(float(slope.abs().mean()), rel=0.02)


def moments(structure: Structure, layer: int, sink_ratio: float = 20.0) -> MomentSums:
    sums = TextSums(structure, [layer], sink_ratio)
    with torch.inference_mode():
        for batch in own_batches(structure):
            read_streams(structure, batch, sums.moments, sums.sinks, prompt_weight=1.0)
    return sums.moments[layer]


def test_the_rank_of_the_stream_is_the_rank_that_was_planted() -> None:
    structure = model_of({3}, embedding_rank=5)
    for layer, expected in ((0, 5), (2, 5)):
        found = spectrum(moments(structure, layer))
        assert found.rank(0.999999) == expected
        assert float(found.explained()[expected - 1]) == pytest.approx(1.0, abs=1e-6)


def test_the_rank_of_a_signal_in_noise_is_the_signals() -> None:
    structure = model_of({3}, embedding_rank=5)
    embedding = structure.model.get_input_embeddings().weight
    embedding += 0.03 * embedding.std() * torch.randn_like(embedding)
    found = spectrum(moments(structure, 1))
    assert found.rank(0.97) <= 5 < found.rank(0.9999)
    assert float(found.variances[4] / found.variances[5]) > 10


def test_a_token_that_is_a_sink_eats_no_variance_and_is_not_projected() -> None:
    structure = model_of({3}, embedding_rank=5)
    structure.model.get_input_embeddings().weight[7] *= 1000
    assert sum(prompt[1:].count(7) for prompt in PROMPTS) > 0
    assert spectrum(moments(structure, 1, sink_ratio=1e9)).rank(0.97) == 1
    sums = TextSums(structure, [1], 20.0)
    for batch in own_batches(structure):
        with torch.inference_mode():
            read_streams(structure, batch, sums.moments, sums.sinks, prompt_weight=1.0)
    found = spectrum(sums.moments[1])
    assert found.rank(0.999999) == 5
    assert sums.sinks[1].left_out > 0

    seen: list[torch.Tensor] = []
    bases = {1: stored_basis(found, 0.3)}
    batch = next(
        batch for batch in own_batches(structure) if (batch.inputs["input_ids"] == 7).any()
    )
    with torch.inference_mode(), reading({1: seen.append}, structure):
        run_blocks(structure, batch)
        with project_stream(structure, bases, sums.sinks), reading({1: seen.append}, structure):
            run_blocks(structure, batch)
    whole, after = seen[0], seen[-1]
    sink = batch.inputs["input_ids"] == 7
    assert torch.equal(after[sink], whole[sink])
    assert not torch.allclose(after[~sink], whole[~sink])


def test_a_truncated_basis_fails_and_the_variance_is_raised() -> None:
    structure = model_of({3}, embedding_rank=6)
    expected = own_answers(structure)
    check, bases = check_reconstruction(
        structure,
        {1: spectrum(moments(structure, 1))},
        [1.0] * len(PROMPTS),
        lambda: agreement(structure, expected),
        higher_is_better=True,
        levels=(0.3, 0.6, 0.99999, 0.999999),
        max_fall=0.01,
        sinks={1: SinkFilter(20.0)},
        once=now,
    )
    assert [trial.holds for trial in check.trials] == [False, False, True]
    assert check.holds
    assert check.explained_variance == 0.99999
    assert check.trials[0].fall > 0.5
    assert bases[1].rank == 6
    assert agreement(structure, expected) == [1.0] * len(PROMPTS)

    failed, _ = check_reconstruction(
        structure,
        {1: spectrum(moments(structure, 1))},
        [1.0] * len(PROMPTS),
        lambda: agreement(structure, expected),
        higher_is_better=True,
        levels=(0.3,),
        max_fall=0.01,
        sinks={1: SinkFilter(20.0)},
        once=now,
    )
    assert not failed.holds


def test_samples_that_all_agree_do_not_pretend_to_certainty() -> None:
    low, high = fall_interval([0.0] * 50)
    assert low < -0.02
    assert high > 0.02
    low, high = fall_interval([1.0] * 50)
    assert low > 0.8
    assert high <= 1.0


def test_the_interval_of_a_metric_without_bounds_holds_its_mean() -> None:
    low, high = fall_interval([2.9, 3.0, 3.1] * 10)
    assert low < 3.0 < high


def test_statistics_of_neurons_and_heads_are_those_of_all_tokens() -> None:
    structure = model_of(range(4))
    pilot = own_batches(structure)
    seen = ActivationMap(structure)
    kept: list[torch.Tensor] = []
    with torch.inference_mode():
        for batch in pilot:
            with seen.watching(batch):
                run_blocks(structure, batch)
            mask, _ = batch.sides[structure.answering.name]
            with reading_input(
                structure.blocks[1].neurons_out, lambda x, mask=mask: kept.append(x[mask])
            ):
                run_blocks(structure, batch)
    neurons = torch.cat(kept)
    assert torch.allclose(seen.neurons(1).magnitude, neurons.abs().mean(0), rtol=1e-4)
    fires = neurons.abs() > neurons.abs().mean(1, keepdim=True)
    assert torch.allclose(seen.neurons(1).frequency, fires.float().mean(0), atol=1e-5)
    assert seen.heads(1).magnitude.shape == (4,)
