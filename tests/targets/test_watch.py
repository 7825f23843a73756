"""A long run left alone: signals, heat and pauses, in the loop and on the real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from targets.resolver import resolve
from targets.training import thermometer
from targets.training.watch import StoppedError, Watch

ROOT = Path(__file__).parents[2]
# One teacher in training, long enough to be hit in the middle of it.
SPEC = (
    (ROOT / "tests" / "tiny.yaml")
    .read_text(encoding="utf-8")
    .replace("        steps: 40", "        steps: 400", 1)
)
TRAINED = "trained_teacher:scholar"


@pytest.fixture(autouse=True)
def old_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
    monkeypatch.setattr("targets.training.watch.LOOK_AT_HEAT_SECONDS", 0.0)
    monkeypatch.setattr("targets.training.watch.REST_SECONDS", 0.0)
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
    Told().step(Watch({"max_temperature_c": 40}))


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

    def training(self) -> bool:
        return any((self.folder / ".nexus").rglob("tmp/*/out")) and "process" in self.log()

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=240)
        return self.process.returncode, said

    def digest(self) -> bytes:
        model = self.folder / "build" / "trained_teacher" / "scholar" / "model.safetensors"
        return model.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    build = Build(tmp_path_factory.mktemp("undisturbed"))
    assert build.end()[0] == 0
    return build.digest()


@pytest.mark.slow
def test_ten_kills_and_every_signal_end_in_the_same_bytes(
    undisturbed: bytes, tmp_path: Path
) -> None:
    random = Random(3)
    folder = tmp_path / "project"
    for _ in range(10):
        build = Build(folder)
        # A checkpoint on demand, so that each life gets further than the one before.
        build.until(build.training)
        time.sleep(random.uniform(0.3, 1.2))
        before = _changed(build.checkpoint())
        build.process.send_signal(signal.SIGUSR2)
        try:
            build.until(lambda build=build, before=before: _changed(build.checkpoint()) != before)
            time.sleep(random.uniform(0.0, 0.4))
        except AssertionError:
            if build.process.poll() == 0:  # it was through before it could be killed
                break
            raise
        build.process.kill()
        build.process.wait()

    build = Build(folder)
    build.until(build.training)
    time.sleep(0.5)
    build.process.send_signal(signal.SIGINT)
    code, said = build.end()
    if code != 0:
        assert code == 130 and "nterrupted" in said
        assert re.search(r"stopped after step \d+", build.log())
    build = Build(folder)
    assert build.end()[0] == 0
    assert build.digest() == undisturbed


def _changed(checkpoint: Path | None) -> int:
    try:
        return checkpoint.stat().st_mtime_ns if checkpoint else 0
    except FileNotFoundError:
        return 0
