"""Products with int8 codes against float64, and whole answers with them against float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nexus import NexusModel, int8_product, llama, llama_weights
from nexus.int8_product import (
    LARGEST,
    SMALLEST_STEP,
    Int8Product,
    int8_products_are_exact,
)
from nexus.packing import int8_weight

pytestmark = pytest.mark.arithmetic

needs_exact_products = pytest.mark.skipif(
    not int8_products_are_exact(), reason="this processor has no exact int8 products"
)


@needs_exact_products
@settings(max_examples=60, deadline=None)
@example(seed=50, rows=2, width=1, outputs=49, outlier=1e-30)
@given(
    seed=st.integers(0, 1 << 30),
    rows=st.integers(1, 5),
    width=st.integers(1, 200),
    outputs=st.integers(1, 70),
    outlier=st.sampled_from([0.0, 1.0, 1e-30, 1e4]),
)
def test_a_product_is_as_good_as_in_float32(
    seed: int, rows: int, width: int, outputs: int, outlier: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-127, 128, (outputs, width), generator=generator, dtype=torch.int8)
    row_max = torch.rand(outputs, generator=generator)
    x = torch.randn(rows, width, generator=generator)
    x[0, 0] = outlier
    x[-1] *= outlier
    product = Int8Product(codes, row_max)

    def times(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty(len(x), outputs)
        product.write(x, out, adds=False)
        return out

    exact = x.double() @ int8_weight(codes, row_max).double().t()
    # Of what the terms can add up to, float32 is off by some 2^-24 for every doubling of them;
    # a row all of whose numbers are tiny is as exact as one whose largest is 1e-31.
    largest = x.double().abs().amax(dim=1)[:, None].clamp(min=LARGEST * SMALLEST_STEP)
    reach = (largest * row_max.double() * width).clamp(min=1e-40)
    assert ((times(x) - exact).abs() / reach).max() < 2**-21
    product.write(x, onto := torch.ones(rows, outputs), adds=True)
    assert torch.allclose(onto, times(x) + 1, atol=1e-6)
    alone = torch.cat([times(x[row : row + 1]) for row in range(rows)])
    assert torch.equal(times(x), alone), "a row depends on the rows next to it"


def test_a_machine_that_rounds_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(
        digits: torch.Tensor, packed: torch.Tensor, step: torch.Tensor, zeros: torch.Tensor
    ) -> torch.Tensor:
        """Sums of two products kept in 16 bits, as processors without the instruction do."""
        pairs = torch.einsum("rpi,opi->rpo", digits.view(5, 80, 2).double(), codes.view(48, 80, 2))
        offset = int8_product.OFFSET * codes.sum(dim=1)
        return (pairs.clamp(-(1 << 15), (1 << 15) - 1).sum(dim=1) - offset).float()

    codes = torch.zeros(0)

    def kept(given: torch.Tensor) -> torch.Tensor:
        nonlocal codes
        codes = given.double()
        return given

    monkeypatch.setattr(int8_product, "_pack", kept)
    monkeypatch.setattr(int8_product, "_multiply", saturating)
    assert not int8_products_are_exact.__wrapped__()


@pytest.mark.parametrize("exact", [pytest.param(True, marks=needs_exact_products), False])
def test_answers_are_those_from_float32_whatever_the_processor_can_do(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    prompts = ["add seven plus three", "call a tool please", "total apples", "book the flight"]
    names = ["sums", "calls", "backbone", "calls"]
    in_float = NexusModel.load(bundles["int8"]).generate(prompts=prompts, capability=names)
    monkeypatch.setattr(llama, "MERGED_PARAMETERS", 0)
    monkeypatch.setattr(llama_weights, "int8_products_are_exact", lambda: exact)
    model = NexusModel.load(bundles["int8"])
    products = [linear.product for linear in model._decoder._base.linears]
    assert sum(isinstance(product, Int8Product) for product in products) == (8 if exact else 0)
    assert model.generate(prompts=prompts, capability=names) == in_float
