"""The streaming PCA against scikit-learn's exact PCA, for any batching and merge order."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from targets.profile.heldout import HeldoutVariance
from targets.profile.moments import (
    BLOCK_ROWS,
    MomentSums,
    Part,
    SketchedMoments,
    products_by_blas,
    products_by_strips,
)
from targets.profile.streaming_pca import leading_directions, spectrum

Array = np.ndarray
Products = Callable[[torch.Tensor], Iterable[tuple[Part, torch.Tensor]]]


def pieces(rows: Array, cuts: list[int]) -> list[slice]:
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def sums_of(
    rows: Array, cuts: list[int], weights: Array | None = None, shards: list[int] | None = None
) -> MomentSums:
    """Rows are taken in between one cut and the next; each shard alone, and then merged."""
    total = MomentSums(rows.shape[1])
    for shard in pieces(rows, shards or []):
        sums = MomentSums(rows.shape[1])
        for piece in pieces(rows[shard], cuts):
            weight = None if weights is None else torch.tensor(weights[shard][piece])
            sums.add(torch.tensor(rows[shard][piece]), weight)
        total = total.merged(sums)
    return total


def planted(seed: int, rows: int, width: int, rank: int, shift: float) -> Array:
    generator = np.random.default_rng(seed)
    scales = 2.0 ** -np.arange(rank)
    signal = generator.normal(size=(rows, rank)) * scales @ generator.normal(size=(rank, width))
    noise = 1e-3 * generator.normal(size=(rows, width))
    return signal + noise + shift * generator.normal(size=width)


def assert_is_exact_pca(data: Array, sums: MomentSums) -> None:
    """Mean, variances, ranks and subspaces are scikit-learn's, up to float32's rounding of C."""
    rows = len(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # shares of no variance
        exact = PCA(svd_solver="full").fit(data)
    ours = spectrum(sums)
    spread = float(np.abs(data - data.mean(axis=0)).max())
    assert np.allclose(ours.mean.numpy(), exact.mean_, rtol=1e-6, atol=1e-6 * spread)
    count = len(exact.explained_variance_)
    variances = exact.singular_values_**2 / rows
    largest = float(variances[0])
    magnitude = float(np.abs(data).max())
    rounding = 4e-6 * largest + 1e-12 * spread**2 + 1e-18 * magnitude**2
    assert np.allclose(ours.variances[:count].numpy(), variances, rtol=0, atol=rounding)
    assert float(ours.variances[count:].abs().sum()) <= rounding
    if largest <= 1e-12 * magnitude**2:
        return  # nothing but the rounding of a constant
    assert ours.total == pytest.approx(variances.sum(), abs=count * rounding)
    cumulative = np.cumsum(variances) / variances.sum()
    for share in (0.5, 0.9, 0.97, 0.995):
        if np.abs(cumulative - share).min() > 1e-4:
            assert ours.rank(share) == int(np.argmax(cumulative >= share)) + 1
    for k in range(1, min(count, 30)):
        gap = variances[k - 1] - variances[k]
        if gap > 100 * rounding:
            # Davis-Kahan: the sine of the largest angle is at most the error over the gap.
            inside = exact.components_[:k] @ ours.directions[:, :k].numpy()
            outside = ours.directions[:, :k].numpy() - exact.components_[:k].T @ inside
            assert np.linalg.norm(outside, 2) < 2 * rounding / gap


cuts = st.lists(st.integers(0, 120), max_size=5)
kinds = st.sampled_from(["random", "shifted", "degenerate", "ill-conditioned", "drifting"])


@settings(max_examples=80, deadline=None)
@given(
    kind=kinds,
    seed=st.integers(0, 2**20),
    rows=st.integers(1, 120),
    width=st.integers(1, 24),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    cuts=cuts,
    shards=cuts,
)
def test_agrees_with_exact_pca(
    kind: str, seed: int, rows: int, width: int, scale: float, cuts: list[int], shards: list[int]
) -> None:
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(rows, width))
    match kind:
        case "shifted":
            data += 1e4 * generator.normal(size=width)
        case "degenerate":  # rows repeat, channels are constant or copies of others
            data = data[generator.integers(0, rows, size=rows) // 2]
            data[:, width // 2 :] = data[:, :1]
            data[:, -1] = 3.0
        case "ill-conditioned":
            mixed = np.linalg.qr(generator.normal(size=(width, width)))[0]
            data = data * 10.0 ** -np.linspace(0, 8, width) @ mixed
        case "drifting":  # the first rows' mean says nothing of the later ones
            data += np.linspace(0, 50, rows)[:, None] * generator.normal(size=width)
    assert_is_exact_pca(scale * data, sums_of(scale * data, cuts, shards=shards))


@pytest.mark.parametrize("products", [products_by_blas, products_by_strips])
def test_both_ways_to_multiply_give_all_on_and_right_of_the_diagonal(products: Products) -> None:
    rows = torch.randn(50, 300)
    made = torch.full((300, 300), float("nan"))
    for part, of_part in products(rows):
        made[part] = of_part
    assert torch.allclose(made.triu(), (rows.T @ rows).triu(), atol=1e-4)


def test_agrees_with_exact_pca_over_many_blocks_and_strips() -> None:
    data = planted(0, BLOCK_ROWS + 100, 140, 20, 50.0)
    assert_is_exact_pca(data, sums_of(data, [10, BLOCK_ROWS + 50]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), order=st.permutations(range(5)), sketched=st.booleans())
def test_merge_order_does_not_matter(seed: int, order: list[int], sketched: bool) -> None:
    def empty() -> MomentSums:
        return SketchedMoments(7, size=4) if sketched else MomentSums(7)

    data = torch.tensor(planted(seed, 60, 7, 3, 10.0))
    weights = torch.rand(60, generator=torch.Generator().manual_seed(seed)) + 0.1
    shards = []
    for index in range(5):
        shard = empty()
        shard.add(data[index * 12 : index * 12 + 12], weights[index * 12 : index * 12 + 12])
        shards.append(shard)
    straight, shuffled = empty(), empty()
    for index in range(5):
        straight = straight.merged(shards[index])
        shuffled = shards[order[index]].merged(shuffled)
    assert straight.rows == shuffled.rows == 60
    assert torch.allclose(straight.mean(), shuffled.mean(), atol=1e-9)
    assert torch.allclose(straight.variances(), shuffled.variances(), atol=1e-9)
    covariances = [
        sums.factor() @ sums.factor().T if isinstance(sums, SketchedMoments) else sums.covariance()
        for sums in (straight, shuffled)
    ]
    assert torch.allclose(*covariances, atol=1e-6 if sketched else 1e-9)


@pytest.mark.parametrize("kind", [MomentSums, SketchedMoments])
def test_a_stream_goes_on_from_a_state_to_the_same_bits(kind: type[MomentSums]) -> None:
    rows = torch.randn(90, 12) + 3
    whole, first, second = kind(12), kind(12), kind(12)
    for start in range(0, 90, 30):
        whole.add(rows[start : start + 30])
    first.add(rows[:30])
    second.restore(first.state())
    for start in (30, 60):
        second.add(rows[start : start + 30])
    assert torch.equal(spectrum(whole).directions, spectrum(second).directions)
    assert torch.equal(whole.mean(), second.mean())
    assert len(rows) == second.rows == 90


def test_a_state_is_smaller_than_the_rows_it_stands_for() -> None:
    """Sums only: as many numbers, however many rows were taken in."""

    def numbers(sums: MomentSums) -> int:
        state = sums.state()
        return state["shift"].numel() + sum(part.numel() for part in state["sums"])

    sums = MomentSums(8)
    sums.add(torch.randn(3, 8))
    few = numbers(sums)
    sums.add(torch.randn(5000, 8))
    assert numbers(sums) == few == 1 + 8 + 8 + 64


def test_a_sketch_finds_the_directions_of_a_stream_of_low_rank() -> None:
    data = torch.tensor(planted(5, 400, 60, 6, 20.0))
    exact, sketch = MomentSums(60), SketchedMoments(60, size=24)
    for start in range(0, 400, 100):
        exact.add(data[start : start + 100])
        sketch.add(data[start : start + 100])
    whole, sketched = spectrum(exact), spectrum(sketch)
    assert sketched.total == pytest.approx(whole.total, rel=1e-5)
    assert torch.allclose(sketched.variances[:6], whole.variances[:6], rtol=1e-3)
    for share in (0.5, 0.9, 0.99):
        assert sketched.rank(share) == whole.rank(share)
    cosines = torch.linalg.svdvals(whole.directions[:, :6].T @ sketched.directions[:, :6])
    assert float(cosines.min()) > 1 - 1e-5


def test_a_sketch_that_is_too_small_does_not_claim_more_than_it_holds() -> None:
    data = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    sketch = SketchedMoments(64, size=16)
    sketch.add(data)
    found = spectrum(sketch)
    assert float(found.explained()[-1]) < 0.6
    assert found.rank(0.97) == 16


def test_values_that_are_not_finite_are_an_error() -> None:
    sums = MomentSums(3)
    sums.add(torch.tensor([[1.0, 2.0, float("inf")], [1.0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match="not finite"):
        spectrum(sums)


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
    train, ones = torch.tensor(planted(1, 300, 12, 3, 1.0)), torch.ones(300)
    sums = MomentSums(12)
    sums.add(train)
    found = spectrum(sums)
    same, other = HeldoutVariance(found, 3), HeldoutVariance(found, 3)
    for start in range(0, 300, 100):
        same.add(train[start : start + 100], ones[:100])
    other.add(torch.randn(300, 12), ones)
    assert torch.allclose(same.explained(), found.explained()[:3], atol=1e-6)
    assert float(other.explained()[-1]) < 0.6
    assert same.rows == 300


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
