"""One training loop for teacher, backbone and adapter: steps, checkpoints, a log.

A checkpoint holds all that the next step depends on; the batches of every step are known from
the seed, so a run that was killed ends in the same bytes as one that was not.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.muon import MuonWithAdamW, learning_rate_at
from training.watch import Watch

CHECKPOINT_SECONDS = 20.0
# Weights, what Muon and Adam keep of them, the best so far: bytes per parameter, at most.
CHECKPOINT_BYTES = 20


@dataclass(frozen=True)
class Schedule:
    """steps: how many. peak: highest learning rate. warmup_steps: linear rise to it."""

    steps: int
    peak: float
    warmup_steps: int


@dataclass
class Run:
    """A training run: what is trained and where it stands.

    rate: factor on the schedule, lowered after damage. best: the lowest held-out loss so far and
    the parameters that gave it, for those who look at one.
    """

    parameters: Mapping[str, Tensor]
    optimiser: MuonWithAdamW
    schedule: Schedule
    checkpoint: Path
    step: int = 0
    rate: float = 1.0
    best: tuple[float, dict[str, Tensor]] | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    saved_at: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is a whole one; from the beginning otherwise.

        Raises OSError where the disk has no room for the checkpoints to come.
        """
        self._check_room()
        if not self.checkpoint.exists():
            return
        damage = damage_of(self.checkpoint)
        if damage:
            # Such as a disk leaves it that lost its power: no reason to fail now and every time.
            text = f"{self.checkpoint} is damaged ({damage}): training starts again"
            warnings.warn(text, stacklevel=2)
            return
        device = next(iter(self.parameters.values())).device
        saved = torch.load(self.checkpoint, weights_only=True, map_location=device)
        with torch.no_grad():
            for name, value in saved["parameters"].items():
                self.parameters[name].copy_(value)
        self.optimiser.restore(saved["optimiser"])
        self.step, self.log = saved["step"], saved["log"]
        self.rate, self.best = saved["rate"], saved["best"]

    def _check_room(self) -> None:
        """Two checkpoints lie side by side for a moment. To learn so after hours would be late."""
        count = sum(value.numel() for value in self.parameters.values())
        needed, free = 2 * CHECKPOINT_BYTES * count, shutil.disk_usage(self.checkpoint.parent).free
        if free < needed:
            raise OSError(
                f"checkpoints need {needed / 1e6:.0f} MB of disk and {free / 1e6:.0f} MB are free "
                f"at {self.checkpoint.parent}: make room, or put the store elsewhere (--store)"
            )

    def save(self) -> None:
        """Write a checkpoint; the one before stays until this one is whole."""
        partial = self.checkpoint.with_suffix(".partial")
        saved = {
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "rate": self.rate,
            "best": self.best,
            "log": self.log,
        }
        with partial.open("wb") as file:
            torch.save(saved, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.checkpoint)
        self.saved_at = time.monotonic()

    def save_in_time(self) -> None:
        """Write a checkpoint if the last one is older than CHECKPOINT_SECONDS."""
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            self.save()


def damage_of(checkpoint: Path) -> str:
    """What is wrong with a file that `torch.save` wrote: "" where every part has its checksum."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return str(error)
    return f"in {damaged}" if damaged is not None else ""


def train(
    run: Run,
    loss_at: Callable[[int], Tensor],
    progress: Callable[..., None],
    *,
    until: int | None = None,
    log_every: int = 50,
    watch: Watch | None = None,
    tokens: Sequence[int] = (),
) -> None:
    """Take the run to its last step, or to `until`. Losses in nats per answer token.

    watch: heeds signals and heat between steps. tokens: how many each step reads, to show how
    many that is in a second.

    Raises ArithmeticError when the loss is no longer a number: training has diverged; StoppedError
    where the watch was told to stop.
    """
    last = run.schedule.steps if until is None else until
    rate = _Rate(tokens)

    def tell(why: str) -> None:
        progress(run.step, run.schedule.steps, note=why)

    while run.step < last:
        loss = loss_at(run.step)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if not isfinite(value):
            raise ArithmeticError(
                f"the loss is not a number at step {run.step}: lower the learning rate"
            )
        schedule = run.schedule
        peak = schedule.peak * run.rate
        run.optimiser.step(learning_rate_at(run.step, schedule.steps, peak, schedule.warmup_steps))
        run.step += 1
        if run.step % log_every == 0 or run.step == last:
            run.log.append({"step": run.step, "loss": round(value, 6)})
        figures: dict[str, float] = {"loss": round(value, 4), **rate.figures(run.step - 1)}
        # Not at the last step: what the caller does there belongs to the same checkpoint.
        if run.step < last:
            run.save_in_time()
            if watch is not None:
                watch.between_steps(run.step, run.save, tell)
                figures.update(watch.figures)
        progress(run.step, schedule.steps, **figures)


class _Rate:
    """Tokens per second, smoothed over the last steps."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._last: float | None = None
        self._smooth = 0.0

    def figures(self, step: int) -> dict[str, float]:
        now, before = time.monotonic(), self._last
        self._last = now
        if not self._tokens or before is None or now <= before:
            return {}
        rate = self._tokens[step] / (now - before)
        self._smooth = 0.9 * self._smooth + 0.1 * rate if self._smooth else rate
        return {"tokens/s": round(self._smooth)}
