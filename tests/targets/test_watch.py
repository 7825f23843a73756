"""A long run left alone: signals, heat and pauses, in the loop and on the real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.resolver import resolve
from training import thermometer
from training.watch import StoppedError, Watch

ROOT = Path(__file__).parents[2]
STEPS = 500
# One teacher in training, long enough to be hit in the middle of it.
SPEC = (
    (ROOT / "tests" / "tiny.yaml")
    .read_text(encoding="utf-8")
    .replace("        steps: 40", f"        steps: {STEPS}", 1)
)
TRAINED = "trained_teacher:scholar"


pytestmark = pytest.mark.usefixtures("restored_signals")


class Told:
    """What a watch asked for: checkpoints, and reasons to rest."""

    def __init__(self) -> None:
        self.saves = 0
        self.reasons: list[str] = []

    def save(self) -> None:
        self.saves += 1

    def step(self, watch: Watch, number: int = 1) -> None:
        watch.between_steps(number, self.save, self.reasons.append)


def test_nothing_happens_where_nothing_is_asked() -> None:
    told = Told()
    told.step(Watch({}))
    assert (told.saves, told.reasons) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_after_the_step_with_a_checkpoint(number: signal.Signals) -> None:
    told, watch = Told(), Watch({})
    os.kill(os.getpid(), number)
    with pytest.raises(StoppedError, match="stopped after step 7; the next build goes on"):
        told.step(watch, 7)
    assert told.saves == 1


def test_a_checkpoint_is_written_on_demand() -> None:
    told, watch = Told(), Watch({})
    os.kill(os.getpid(), signal.SIGUSR2)
    told.step(watch)
    told.step(watch)
    assert told.saves == 1 and not told.reasons


def test_it_pauses_and_goes_on() -> None:
    told, watch = Told(), Watch({})
    os.kill(os.getpid(), signal.SIGUSR1)
    again = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
    again.start()
    began = time.monotonic()
    told.step(watch)
    again.join()
    assert time.monotonic() - began >= 0.4
    assert told.saves == 1 and set(told.reasons) == {"paused (SIGUSR1 goes on)"}


def test_who_pauses_still_hears_that_it_is_to_stop() -> None:
    told, watch = Told(), Watch({})
    os.kill(os.getpid(), signal.SIGUSR1)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(StoppedError):
        told.step(watch)


def test_it_cools_down_every_so_many_steps() -> None:
    told, watch = Told(), Watch({"cooldown": {"every_steps": 3, "seconds": 0.3}})
    for step in range(1, 7):
        told.step(watch, step)
    assert told.saves == 2 and set(told.reasons) == {"cooling down"}


def test_it_waits_until_what_was_too_hot_is_ten_degrees_cooler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.watch.LOOK_AT_HEAT_SECONDS", 0.0)
    monkeypatch.setattr("training.watch.REST_SECONDS", 0.0)
    readings = [82.0, 83.0, 82.9, 79.0, 74.0, 73.0, 80.0]
    left = iter(readings)
    told, watch = Told(), Watch({"max_temperature_c": 83}, lambda: next(left))
    told.step(watch)
    assert not told.reasons
    told.step(watch)
    # It went on at 73, ten below the limit, and not as soon as it was below the limit.
    assert told.saves == 1 and set(told.reasons) == {"too hot: waits until it is 73 °C"}
    assert watch.figures == {"celsius": 73.0}
    told.step(watch)
    assert told.saves == 1 and watch.figures == {"celsius": 80.0}


def test_without_a_gpu_there_is_no_thermometer_and_no_wait() -> None:
    if thermometer.gpu_thermometer() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    told = Told()
    told.step(Watch({"max_temperature_c": 40}))
    assert told.reasons == []


def test_heat_and_pauses_reach_training_and_no_key(tmp_path: Path) -> None:
    spec = tmp_path / "nexus.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    plain = resolve(spec, {})
    careful = "hardware: {max_temperature_c: 80, cooldown: {every_steps: 9, seconds: 1m}, "
    spec.write_text(SPEC.replace("hardware: {", careful), encoding="utf-8")
    minded = resolve(spec, {})
    for target in (TRAINED, "backbone", "adapter:code"):
        assert minded[target].conduct == {
            "max_temperature_c": 80,
            "cooldown": {"every_steps": 9, "seconds": 60.0},
        }
    assert all(minded[one.id].settings == one.settings for one in plain)


class Build:
    """`nexusbuild` of one training target, watched from outside."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "nexus.yaml").write_text(SPEC, encoding="utf-8")
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nexusbuild", TRAINED],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def checkpoint(self) -> Path | None:
        return next(iter((self.folder / ".nexus").rglob("checkpoint.pt")), None)

    def until(self, holds: Callable[[], object], seconds: float = 120) -> None:
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, "it did not happen in time"
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    def log(self) -> str:
        log = self.folder / "build" / "logs" / "trained_teacher" / "scholar.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def run_to_a_checkpoint(self) -> None:
        """Until it has written one, asked by SIGUSR2 until it does."""
        self.until(lambda: "process" in self.log())
        before = _changed(self.checkpoint())

        def written() -> bool:
            self.process.send_signal(signal.SIGUSR2)
            time.sleep(0.2)
            return _changed(self.checkpoint()) != before

        self.until(written)

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=240)
        return self.process.returncode, said

    def digest(self) -> bytes:
        model = self.folder / "build" / "trained_teacher" / "scholar" / "model.safetensors"
        return model.read_bytes()


@pytest.mark.slow
def test_signals_on_the_real_process_end_in_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = Build(tmp_path / "undisturbed")
    assert undisturbed.end()[0] == 0

    build = Build(tmp_path / "disturbed")
    build.run_to_a_checkpoint()  # SIGUSR2
    build.process.send_signal(signal.SIGUSR1)
    time.sleep(1.0)
    paused = _changed(build.checkpoint())  # whoever pauses has written where it stands
    time.sleep(1.0)
    assert build.process.poll() is None and _changed(build.checkpoint()) == paused
    build.process.send_signal(signal.SIGUSR1)
    build.run_to_a_checkpoint()
    build.process.send_signal(signal.SIGINT)
    assert build.end()[0] == 130
    stopped = re.findall(r"stopped after step (\d+)", build.log())
    assert stopped and 0 < int(stopped[-1]) < STEPS
    assert "== stopped; the next build goes on" in build.log() and "Traceback" not in build.log()

    build = Build(tmp_path / "disturbed")
    assert build.end()[0] == 0
    assert build.digest() == undisturbed.digest()


def _changed(checkpoint: Path | None) -> int:
    try:
        return checkpoint.stat().st_mtime_ns if checkpoint else 0
    except FileNotFoundError:
        return 0
