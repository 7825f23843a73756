"""How often verdicts are wrong, by simulation: the table of docs/contracts.md.

    python benchmarks/verdict_errors.py

A world is a teacher and a student whose true quality is known. From it come evaluations, each is
judged as a gate would judge it, and the verdicts are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from targets.commands.named_modules import named_metric
from targets.gate.statistics import Estimate, retained_estimate
from targets.gate.verdict import judge

RIGHT_OR_WRONG = named_metric("exact_match")
TRIALS = 2000


@dataclass(frozen=True)
class World:
    """items; the share that the teacher gets right; the truly retained fraction; the share of what
    the teacher gets wrong that the student gets right.
    """

    items: int
    teacher: float
    retained: float
    gained: float

    @property
    def shares(self) -> list[float]:
        """Of items that both get right, the teacher alone, the student alone, neither."""
        gained = self.gained * (1 - self.teacher)
        lost = (1 - self.retained) * self.teacher + gained
        return [self.teacher - lost, lost, gained, 1 - self.teacher - gained]

    def draws(self, trials: int) -> tuple[np.ndarray, np.ndarray]:
        """Distinct counts of these four in `trials` evaluations, and how often each came."""
        counts = np.random.default_rng(11).multinomial(self.items, self.shares, size=trials)
        return np.unique(counts, axis=0, return_counts=True)


def estimate_of(counts: np.ndarray) -> Estimate:
    """As the gate makes it."""
    teacher = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
    student = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
    return retained_estimate(
        RIGHT_OR_WRONG, teacher, student, np.ones(len(teacher)), seed=5, confidence=0.95
    )


def point_of(counts: np.ndarray) -> Estimate:
    """All that the point rule looks at."""
    both, lost, gained, _ = counts
    value = float((both + gained) / (both + lost))
    return Estimate(value, (value, value), value, value, 0.95, int(counts.sum()))


def verdicts(
    world: World, threshold: float, confidence: float | None, trials: int
) -> dict[str, float]:
    """The share of each verdict."""
    shares = dict.fromkeys(("pass", "fail", "inconclusive"), 0.0)
    for counts, times in zip(*world.draws(trials), strict=True):
        estimate = point_of(counts) if confidence is None else estimate_of(counts)
        shares[judge(estimate, threshold, confidence).verdict] += times / trials
    return shares


def main() -> None:
    """Print the table: threshold 0.97, students of known quality."""
    print("| items | truly retained | by the figure | passes at 0.95 | fails | inconclusive |")
    print("|---|---|---|---|---|---|")
    for items in (100, 200, 1000, 4000):
        for retained in (0.94, 0.95, 0.97, 0.985, 1.0):
            world = World(items, 0.7, retained, 0.05)
            point = verdicts(world, 0.97, None, TRIALS)
            sure = verdicts(world, 0.97, 0.95, TRIALS)
            print(
                f"| {items} | {retained} | {point['pass']:.3f} | {sure['pass']:.3f} "
                f"| {sure['fail']:.3f} | {sure['inconclusive']:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
