"""What a long run heeds between two steps: signals, heat, and the pauses that it was asked to make.

SIGINT and SIGTERM stop it after the step, with a checkpoint; SIGUSR1 pauses it and lets it go on;
SIGUSR2 has it write a checkpoint at once. None of this touches a number of the training.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from training.thermometer import Thermometer, gpu_thermometer

# A GPU that was too hot rests until it is this much cooler.
COOLER_BY_C = 10.0
LOOK_AT_HEAT_SECONDS = 2.0
REST_SECONDS = 0.2


class StoppedError(Exception):
    """Training was asked to stop, and has written where it stands."""


class Watch:
    """Heeds signals from its making on; call `between_steps` after every step.

    conduct: `max_temperature_c`, degrees Celsius at which training rests; `cooldown`, with
    `every_steps` and `seconds`, how often and how long it rests anyway. thermometer: the GPU's own
    unless one is given, and nothing where there is none.
    """

    def __init__(self, conduct: Mapping[str, Any], thermometer: Thermometer | None = None) -> None:
        cooldown = conduct.get("cooldown") or {"every_steps": 0, "seconds": 0.0}
        self._every, self._seconds = int(cooldown["every_steps"]), float(cooldown["seconds"])
        self._limit: float | None = conduct.get("max_temperature_c")
        self._thermometer = thermometer or (gpu_thermometer() if self._limit else None)
        self._looked = 0.0
        self._stop = self._save = self._paused = False
        self._temperature: float | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._paused = not self._paused
        elif number == signal.SIGUSR2:
            self._save = True
        else:
            self._stop = True

    def between_steps(
        self, step: int, save: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Do what was asked for meanwhile. save: writes a checkpoint. tell: says why it rests.

        Raises StoppedError once the checkpoint is written.
        """
        if self._save or self._stop:
            save()
            self._save = False
        if self._every and step % self._every == 0:
            until = time.monotonic() + self._seconds
            self._rest(lambda: time.monotonic() < until, "cooling down", save, tell)
        self._mind_the_heat(save, tell)
        self._rest(lambda: self._paused, "paused (SIGUSR1 goes on)", save, tell)
        if self._stop:
            raise StoppedError(f"stopped after step {step}; the next build goes on from there")

    @property
    def figures(self) -> dict[str, float]:
        """What progress shows of it."""
        return {} if self._temperature is None else {"celsius": self._temperature}

    def _mind_the_heat(self, save: Callable[[], None], tell: Callable[[str], None]) -> None:
        if self._limit is None or self._thermometer is None:
            return
        if self._read() < self._limit:
            return
        cool = self._limit - COOLER_BY_C
        self._rest(
            lambda: self._read() > cool, f"too hot: waits until it is {cool:.0f} °C", save, tell
        )

    def _read(self) -> float:
        """Degrees Celsius, looked at every few seconds."""
        assert self._thermometer is not None
        now = time.monotonic()
        if self._temperature is None or now - self._looked >= LOOK_AT_HEAT_SECONDS:
            self._temperature, self._looked = self._thermometer(), now
        return self._temperature

    def _rest(
        self,
        while_true: Callable[[], bool],
        why: str,
        save: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        """Rest while this holds; whoever rests has written a checkpoint, and still hears."""
        if not while_true():
            return
        save()
        while while_true() and not self._stop:
            tell(why)
            if self._save:
                save()
                self._save = False
            time.sleep(REST_SECONDS)
