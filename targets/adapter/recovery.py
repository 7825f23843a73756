"""What is done when a look at an adapter in training finds it worse than it was.

A figure past its threshold gets a short loop on the worst rows; where it has not come down after
that, the last good state comes back. After a spike of the held-out loss it does so at once. The
lost steps are trained again at half the rate, with no momentum and on other rows than those that
went before the damage (as in Chowdhery et al. 2022, "PaLM", section 5.1).

All of it stands in the run's log, and the log is the only memory: thresholds follow from what
earlier looks wrote there, so that a run that resumes decides like one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from modalities.text.sequences import batch_rows
from training.loop import Run
from training.muon import learning_rate_at
from training.watch import Watch

LOSS = "validation_loss"
ROLLED_BACK = "rolled back"
# Times the best that was seen at this learning rate or a higher one. In undisturbed runs of the
# sample a look was never above 1.03 times it, with looks every 30 steps never above 1.15 times.
SPIKE = 1.5
LOSS_ABOVE = 1.25
DEVIATION_ABOVE = 1.5
# Times the untrained adapter's. That was reached at no rate: where the backbone begins well, a high
# rate took an undisturbed run to 1.75 times it.
SPIKE_OF_UNTRAINED = 3.0
# After a recovery, this share of what a threshold leaves above the best.
HOLDS = 1 / 3
# Near 0 a few tokens double a loss: so much more, in nats per token, is never a finding.
SLACK = 0.002
ANCHORS_UP = 4.0
# The worst rows are this share of a pool of so many.
POOL_ROWS = 512
WORST_SHARE = 0.25
# Of the schedule's peak. Falls from there to a twentieth, as the schedule itself does.
RECOVERY_RATE = 0.25
# So many times lost steps are trained again; after that the schedule goes on from where it is.
ROLL_BACKS = 3

Figures = dict[str, float]


class Subject(Protocol):
    """What is in training: how to look at it, and how to learn from some rows of it."""

    def figures(self) -> Figures:
        """The held-out loss as LOSS, and each anchor's deviation by its name."""

    def row_losses(self, rows: Sequence[int]) -> list[float]:
        """Loss of each of these training rows, nats per answer token."""

    def loss_of(self, rows: list[int], anchors: float) -> Tensor:
        """What training minimises, on a batch of rows; anchors: factor on the weight of these."""


@dataclass(frozen=True)
class Rows:
    """Training rows to choose from: their indices, and the tokens of each."""

    indices: Sequence[int]
    lengths: Sequence[int]
    batch: int
    seed: int


@dataclass(frozen=True)
class Finding:
    """A figure past its threshold; holds_at: what it is to come down to."""

    measured: str
    value: float
    threshold: float
    holds_at: float

    def entry(self) -> dict[str, Any]:
        """Its words in the log."""
        value, threshold = told(self.value), told(self.threshold)
        return {"measured": self.measured, "value": value, "threshold": threshold}


class Recovery:
    """The looks at one run, and what follows from them.

    steps: of a recovery; 0 looks and writes down, no more. earlier: log entries of the rounds
    before this one.
    """

    def __init__(
        self,
        run: Run,
        subject: Subject,
        rows: Rows,
        *,
        steps: int,
        earlier: Sequence[Mapping[str, Any]],
        watch: Watch | None,
        progress: Callable[..., None],
    ) -> None:
        self._run, self._subject, self._rows = run, subject, rows
        self._steps, self._watch, self._progress = steps, watch, progress
        self._earlier = earlier
        if run.best is None:
            figures = self._figures()
            if not earlier:
                self._note(figures)
            self._keep(figures)

    @property
    def looked(self) -> bool:
        """Whether the state in which the run stands was looked at."""
        for entry in reversed(self._run.log):
            if entry.get("event") == ROLLED_BACK:
                return bool(entry["goes_on_at"] == self._run.step)
            if "rate" in entry and entry["step"] == self._run.step:
                return True
        return False

    @property
    def lost_steps(self) -> int:
        """How many steps of this run were rolled back."""
        return sum(entry["step"] - entry["goes_on_at"] for entry in self._roll_backs)

    @property
    def _roll_backs(self) -> list[dict[str, Any]]:
        return [entry for entry in self._run.log if entry.get("event") == ROLLED_BACK]

    def look(self) -> None:
        """Measure, and do what the figures ask for."""
        run = self._run
        figures = self._figures()
        spike = self._past(figures, {LOSS: SPIKE}, since=1)
        spike = spike or self._past(figures, {LOSS: SPIKE_OF_UNTRAINED}, since=0)
        factors = dict.fromkeys(figures, DEVIATION_ABOVE) | {LOSS: LOSS_ABOVE}
        above = self._past(figures, factors, since=1)
        if not self._steps:
            self._note(figures)
            if figures[LOSS] <= self._best:
                self._keep(figures)
        elif spike:
            self._note(figures)
            run.log.append({"step": run.step, "event": "spike", **spike[0].entry()})
            self._roll_back()
        elif above:
            # Whoever is stopped on the way begins again from here, before this look.
            run.save()
            self._note(figures)
            self._recover(above)
        else:
            self._note(figures)
            if figures[LOSS] <= self._best:
                self._keep(figures)

    def diverged(self) -> bool:
        """Roll back after a loss that is not a number; False where that has not helped."""
        run = self._run
        if not self._steps or len(self._roll_backs) >= ROLL_BACKS:
            return False
        for parameter in run.parameters.values():
            parameter.grad = None
        run.log.append({"step": run.step, "event": "the loss is not a number"})
        self._roll_back()
        return True

    def tell(self, why: str) -> None:
        """Show next to the progress what is done between two steps of the schedule."""
        self._progress(self._run.step, self._run.schedule.steps, note=why)

    def _recover(self, found: Sequence[Finding]) -> None:
        """Steps on the worst rows, the anchors' weight up; the roll-back where it does not hold."""
        run = self._run
        worst = self._worst_rows()
        entry = {"step": run.step, "event": "recovery", "steps": self._steps, "rows": len(worst)}
        run.log += [{**entry, **each.entry(), "holds_at": told(each.holds_at)} for each in found]
        rate = self._take_steps(worst)
        figures = self._figures()
        self._note(figures, rate)
        if not all(figures[each.measured] <= each.holds_at for each in found):
            self._roll_back()
            return
        run.log.append({"step": run.step, "event": "recovered"})
        if figures[LOSS] <= self._best:
            self._keep(figures)

    def _take_steps(self, worst: Sequence[int]) -> float:
        """Learn from these rows; returns the last learning rate."""
        run = self._run
        lengths = [self._rows.lengths[row] for row in worst]
        plan = batch_rows(lengths, self._rows.batch, self._steps, self._rows.seed + run.step)
        peak = RECOVERY_RATE * run.schedule.peak * run.rate
        rate = peak
        for taken, picked in enumerate(plan):
            loss = self._subject.loss_of([worst[index] for index in picked], ANCHORS_UP)
            loss.backward()  # type: ignore[no-untyped-call]
            rate = learning_rate_at(taken, self._steps, peak, 0)
            run.optimiser.step(rate)
            self.tell(f"recovery: step {taken + 1} of {self._steps} on the worst rows")
            if self._watch is not None:
                self._watch.between_steps(run.step + taken + 1, _already_saved, self.tell)
        return rate

    def _worst_rows(self) -> list[int]:
        """Rows of a fixed pool with the highest loss, the highest first."""
        rows = self._rows.indices
        drawn = np.random.default_rng(self._rows.seed).permutation(len(rows))[:POOL_ROWS]
        pool = [rows[index] for index in drawn]
        losses = self._subject.row_losses(pool)
        ranked = sorted(zip(losses, pool, strict=True), reverse=True)
        return [row for _, row in ranked[: max(1, round(WORST_SHARE * len(pool)))]]

    def _roll_back(self) -> None:
        """The last good state again, with no momentum, and half the rate from there on."""
        run = self._run
        assert run.best is not None
        with torch.no_grad():
            for name, parameter in run.parameters.items():
                parameter.copy_(run.best[1][name])
        state = run.optimiser.state()
        still = {shape: torch.zeros_like(one) for shape, one in state["velocity"].items()}
        run.optimiser.restore({**state, "velocity": still})
        run.rate /= 2
        good = [entry["step"] for entry in run.log if entry.get(LOSS) == self._best]
        to_step = good[-1] if good else 0
        goes_on_at = to_step if len(self._roll_backs) < ROLL_BACKS else run.step
        told = {"to_step": to_step, "goes_on_at": goes_on_at, "rate_factor": run.rate}
        run.log.append({"step": run.step, "event": ROLLED_BACK, **told})
        run.step = goes_on_at

    def _past(self, figures: Figures, factors: Mapping[str, float], since: int) -> list[Finding]:
        """Figures above their factor times the best of theirs at this learning rate or above.

        since: the first step whose look counts.
        """
        rate = self._rate()
        looks = [
            entry
            for entry in (*self._earlier, *self._run.log)
            if "rate" in entry and entry["rate"] >= rate and entry["step"] >= since
        ]
        found = []
        for name, factor in factors.items():
            best = min((entry[name] for entry in looks if name in entry), default=inf)
            threshold = factor * best + SLACK
            holds_at = (1 + HOLDS * (factor - 1)) * best + SLACK
            if not figures[name] <= threshold:
                found.append(Finding(name, figures[name], threshold, holds_at))
        return found

    def _rate(self) -> float:
        """The learning rate of the last step; that of the peak until it is reached."""
        schedule, warmup = self._run.schedule, self._run.schedule.warmup_steps
        peak = schedule.peak * self._run.rate
        rate = learning_rate_at(max(self._run.step - 1, warmup), schedule.steps, peak, warmup)
        return float(f"{rate:.6g}")

    def _figures(self) -> Figures:
        return {name: round(value, 6) for name, value in self._subject.figures().items()}

    def _note(self, figures: Figures, rate: float | None = None) -> None:
        known = {name: value for name, value in figures.items() if isfinite(value)}
        rate = self._rate() if rate is None else float(f"{rate:.6g}")
        self._run.log.append({"step": self._run.step, **known, "rate": rate})

    @property
    def _best(self) -> float:
        assert self._run.best is not None
        return self._run.best[0]

    def _keep(self, figures: Figures) -> None:
        state = {name: value.detach().clone() for name, value in self._run.parameters.items()}
        self._run.best = figures[LOSS], state


def told(value: float) -> float | str:
    """A figure as the log has it: JSON knows no infinity, and nothing that is not a number."""
    return round(value, 6) if isfinite(value) else str(value)


def _already_saved() -> None:
    """A recovery is taken whole or begun again: its checkpoint is the one before it."""
