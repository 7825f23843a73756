"""Multiply by int8 codes as they are stored: the numbers of float32 at a quarter of its memory.

An activation becomes a whole number of 24 bits times its row's step, and that number three of 8
bits; the products and sums of 8-bit numbers are exact in int32. What is rounded is the activation
once, to the 2^-23rd part of its row's largest, and the sum of the three results: as much as
float32 itself rounds. The arithmetic inside is exact, whatever the order: a row's result does not
depend on the rows next to it.

It uses oneDNN's int8 kernels by way of operators that torch keeps for its own use, and trusts them
only after an example that overflows where a processor lacks the instruction (AVX512-VNNI).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from nexus.packing import INT8_STEP

# The largest whole number that three signed digits of 8 bits can say: 127 * 2^16.
LARGEST = 127 << 16
SMALLEST_STEP = torch.finfo(torch.float32).tiny
# The kernel wants unsigned digits, and takes this off again.
OFFSET = 128


class Int8Product:
    """By codes (out, in) int8, each row times `row_max / 127`; on a CPU."""

    def __init__(self, codes: Tensor, row_max: Tensor) -> None:
        self.shape = (codes.shape[0], codes.shape[1])
        self._packed = _pack(codes)
        self._step = row_max.float() * INT8_STEP
        self._zero_points = torch.zeros(len(codes), dtype=torch.int64)

    def write(self, x: Tensor, out: Tensor, *, adds: bool) -> None:
        digits, step = _digits(x)
        sums = _multiply(digits, self._packed, self._step, self._zero_points)
        low, middle, high = sums.view(3, len(x), -1)
        total = low.add_(middle, alpha=1 << 8).add_(high, alpha=1 << 16)
        if adds:
            out.addcmul_(total, step)
        else:
            torch.mul(total, step, out=out)


def _digits(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x (rows, in): digits, lowest first, uint8 (3 * rows, in); the step of each row (rows, 1).

    With digits d in -128 .. 127 (here d + OFFSET), x = step * (d0 + 2^8 d1 + 2^16 d2).
    """
    # A step below the smallest normal number would itself be rounded.
    step = (x.abs().amax(dim=1, keepdim=True) / LARGEST).clamp_(min=SMALLEST_STEP)
    whole = (x / step).round_().to(torch.int32)
    # With OFFSET added to every digit, the digits of the sum are those of an unsigned number.
    whole += OFFSET * (1 + (1 << 8) + (1 << 16))
    digits = [whole & 255, (whole >> 8) & 255, whole >> 16]
    return torch.cat(digits).to(torch.uint8), step


def _pack(codes: Tensor) -> Tensor:
    packed: Tensor = torch.ops.onednn.qlinear_prepack(codes.contiguous(), None)
    return packed


def _multiply(digits: Tensor, packed: Tensor, step: Tensor, zero_points: Tensor) -> Tensor:
    """(digits - OFFSET) times the codes, in int32, then times `step` of each output, float32."""
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        digits, 1.0, OFFSET, packed, step, zero_points, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


@cache
def int8_products_are_exact() -> bool:
    """Whether this machine and this torch multiply 8-bit numbers as they should.

    The example holds the largest digits and codes, whose sums of two do not fit 16 bits.
    """
    generator = torch.Generator().manual_seed(0)
    digits = torch.randint(0, 256, (5, 160), generator=generator, dtype=torch.uint8)
    codes = torch.randint(-127, 128, (48, 160), generator=generator, dtype=torch.int8)
    digits[0], digits[1], codes[0], codes[1] = 255, 0, 127, -127
    expected = (digits.double() - OFFSET) @ codes.double().t()
    try:
        ones, zeros = torch.ones(48), torch.zeros(48, dtype=torch.int64)
        found = _multiply(digits, _pack(codes), ones, zeros)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    return torch.equal(found.double(), expected)
