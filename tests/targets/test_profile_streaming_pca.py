"""The streaming PCA against scikit-learn's exact PCA, for any batching and merge order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from targets.profile.streaming_pca import MomentSums, leading_directions, spectrum


def sums_of(rows: np.ndarray, cuts: list[int], weights: np.ndarray | None = None) -> MomentSums:
    """Each piece between two cuts is summed alone and merged into those before it."""
    total = MomentSums(rows.shape[1])
    edges = [0, *sorted({min(cut, len(rows)) for cut in cuts}), len(rows)]
    for start, end in itertools.pairwise(edges):
        shard = MomentSums(rows.shape[1])
        if end > start:
            weight = None if weights is None else torch.tensor(weights[start:end])
            shard.add(torch.tensor(rows[start:end]), weight)
        total = total.merged(shard)
    return total


def planted(seed: int, rows: int, width: int, rank: int, shift: float) -> np.ndarray:
    generator = np.random.default_rng(seed)
    scales = 2.0 ** -np.arange(rank)
    signal = generator.normal(size=(rows, rank)) * scales @ generator.normal(size=(rank, width))
    noise = 1e-3 * generator.normal(size=(rows, width))
    return signal + noise + shift * generator.normal(size=width)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    rows=st.integers(2, 120),
    width=st.integers(2, 24),
    rank=st.integers(1, 8),
    shift=st.sampled_from([0.0, 1.0, 1e4]),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_agrees_with_exact_pca(
    seed: int, rows: int, width: int, rank: int, shift: float, cuts: list[int]
) -> None:
    data = planted(seed, rows, width, min(rank, width), shift)
    exact = PCA().fit(data)
    ours = spectrum(sums_of(data, cuts))

    assert np.allclose(ours.mean.numpy(), data.mean(axis=0), rtol=1e-6, atol=1e-6)
    count = len(exact.explained_variance_)
    variances = exact.explained_variance_ * (rows - 1) / rows
    largest = variances[0]
    assert np.allclose(ours.variances[:count].numpy(), variances, rtol=1e-4, atol=1e-6 * largest)
    for share in (0.5, 0.9, 0.97):
        cumulative = np.cumsum(exact.explained_variance_ratio_)
        if np.abs(cumulative - share).min() > 1e-4:
            assert ours.rank(share) == int(np.argmax(cumulative >= share)) + 1

    gaps = -np.diff(variances)
    for k in range(1, count):
        if gaps[k - 1] > 1e-2 * largest:
            ours_k = ours.directions[:, :k].numpy()
            cosines = np.linalg.svd(exact.components_[:k] @ ours_k, compute_uv=False)
            assert cosines.min() > 1 - 1e-5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), order=st.permutations(range(5)))
def test_merge_order_does_not_matter(seed: int, order: list[int]) -> None:
    data = torch.tensor(planted(seed, 60, 7, 3, 10.0))
    weights = torch.rand(60, generator=torch.Generator().manual_seed(seed)) + 0.1
    shards = []
    for index in range(5):
        shard = MomentSums(7)
        shard.add(data[index * 12 : index * 12 + 12], weights[index * 12 : index * 12 + 12])
        shards.append(shard)
    straight, shuffled = MomentSums(7), MomentSums(7)
    for index in range(5):
        straight = straight.merged(shards[index])
        shuffled = shards[order[index]].merged(shuffled)
    assert straight.rows == shuffled.rows == 60
    assert torch.allclose(straight.mean(), shuffled.mean(), atol=1e-9)
    assert torch.allclose(straight.covariance(), shuffled.covariance(), atol=1e-9)


def test_weights_count_as_repetition() -> None:
    data = planted(0, 40, 6, 3, 5.0)
    twice = np.concatenate([data, data[:20]])
    weights = np.concatenate([np.full(20, 2.0), np.ones(20)])
    weighted = spectrum(sums_of(data, [13], weights))
    repeated = spectrum(sums_of(twice, [13]))
    assert torch.allclose(weighted.variances, repeated.variances, atol=1e-6)
    assert torch.allclose(weighted.mean, repeated.mean, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_streams_are_summed_exactly(dtype: torch.dtype) -> None:
    data = (torch.randn(200, 5) + 30).to(dtype)
    ours = MomentSums(5)
    ours.add(data)
    expected = torch.cov(data.double().T, correction=0)
    assert torch.allclose(ours.covariance(), expected, rtol=1e-4, atol=1e-5)


def test_a_constant_stream_has_rank_one_and_no_variance() -> None:
    sums = MomentSums(4)
    sums.add(torch.full((10, 4), 3.0))
    found = spectrum(sums, massive_ratio=20.0)
    assert found.rank(0.97) == 1
    assert torch.allclose(found.mean, torch.full((4,), 3.0, dtype=torch.float64))
    assert float(found.variances.max()) == 0.0


def test_a_massive_channel_stands_apart_and_hides_nothing() -> None:
    data = torch.tensor(planted(3, 500, 16, 5, 0.0))
    plain = MomentSums(16)
    plain.add(data)
    rank = spectrum(plain).rank(0.97)
    data[:, 4] = 1e4 * torch.randn(500)
    sums = MomentSums(16)
    sums.add(data)
    blinded = spectrum(sums)
    assert blinded.rank(0.97) == 1
    found = spectrum(sums, massive_ratio=20.0)
    assert found.massive == (4,)
    assert abs(found.rank(0.97) - rank) <= 1
    basis = found.basis(found.rank(0.97))
    assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    # The massive channel passes through the projection whole.
    assert torch.allclose(basis @ basis[4], torch.eye(16, dtype=torch.float64)[4])


def test_held_out_rows_are_explained_by_as_much_as_they_are() -> None:
    train, held_out = MomentSums(12), MomentSums(12)
    train.add(torch.tensor(planted(1, 300, 12, 3, 1.0)))
    held_out.add(torch.randn(300, 12))
    found = spectrum(train)
    assert found.explained_elsewhere(train, 3) == pytest.approx(float(found.explained()[2]))
    assert found.explained_elsewhere(held_out, 3) < 0.6


def test_subspace_iteration_finds_the_leading_directions() -> None:
    generator = np.random.default_rng(0)
    rotation = np.linalg.qr(generator.normal(size=(400, 400)))[0]
    variances = 0.97 ** np.arange(400)
    covariance = torch.tensor(rotation * variances @ rotation.T)
    values, vectors = leading_directions(covariance, 40)
    assert np.allclose(values.numpy(), variances[:40], rtol=1e-3)
    captured = float((vectors * (covariance @ vectors)).sum())
    assert captured == pytest.approx(variances[:40].sum(), rel=1e-4)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(count, 3\)"):
        MomentSums(3).add(torch.zeros(2, 4))
