"""Where a value stands in a picture, and which round values to write next to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """From values [low, high] to coordinates [start, end]; `log` of values above 0."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (_as(each, self.log) for each in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About `count` round values from low to high."""
        if self.log:
            exponents = range(
                math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
            )
            steps = (1, 2, 5) if len(exponents) <= 2 else (1, 3) if len(exponents) == 3 else (1,)
            values = [step * 10.0**each for each in exponents for step in steps]
        else:
            step = round_step((self.high - self.low) / max(1, count))
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            values = [each * step for each in range(first, last + 1)]
        span = 1e-9 * (self.high - self.low)
        return [each for each in values if self.low - span <= each <= self.high + span]


def _as(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def round_step(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * each for each in (1.0, 2.0, 2.5, 5.0, 10.0) if power * each >= step * 0.999)


def plain(value: float) -> str:
    """`0.97`, `1,200`, `0.003`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """`97 %`."""
    return f"{100 * value:.3g} %"


Words = Callable[[float], str]
