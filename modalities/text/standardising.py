"""Mean and spread of more numbers than memory holds, in single precision.

Both add up in the very order in which numpy does over one whole array, so that how many numbers are
read at a time does not show in a result: rows one after another for the means of columns, halves of
halves for the sum of all (pairwise summation; Higham 1993, "The Accuracy of Floating Point
Summation").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# values(start, end): (end - start, columns) float32, these rows of them.
Values = Callable[[int, int], NDArray[np.float32]]

ROWS_AT_ONCE = 1 << 14
NUMBERS_AT_ONCE = 1 << 18


def column_means(values: Values, rows: int) -> NDArray[np.float32]:
    """(columns,) float32, the mean of each column."""
    total = values(0, 0)
    for start in range(0, rows, ROWS_AT_ONCE):
        block = values(start, min(start + ROWS_AT_ONCE, rows))
        total = np.concatenate([total, block]).sum(axis=0, keepdims=True)
    means: NDArray[np.float32] = (total[0].astype(np.float64) / rows).astype(np.float32)
    return means


def root_mean_square(values: Values, rows: int, columns: int) -> np.float32:
    """The root of the mean of all squares, and a little, so that it can be divided by."""

    def sum_of_squares(start: int, count: int) -> np.float32:
        total: np.float32
        if count > NUMBERS_AT_ONCE:
            half = count // 2
            half -= half % 8
            total = sum_of_squares(start, half) + sum_of_squares(start + half, count - half)
        else:
            first, last = start // columns, -(-(start + count) // columns)
            numbers = values(first, last).ravel()[start - first * columns :][:count]
            total = (numbers**2).sum()
        return total

    mean = np.float32(float(sum_of_squares(0, rows * columns)) / (rows * columns))
    root: np.float32 = np.sqrt(mean) + np.float32(1e-12)
    return root
