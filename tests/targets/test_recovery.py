"""Recovery: damage on the way is found, mended or undone, and the log tells of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from test_adapter import (  # noqa: F401
    KilledError,
    run_of,
    silent,
    student,
    tokenizer,
    training_of,
)

from modalities.text.distillation_loss import SoftTargets
from modalities.text.sequences import Batch
from modalities.text.student_rows import StudentRows
from targets.adapter.recovery import LOSS, LOSS_ABOVE, SPIKE
from targets.adapter.training import AdapterTraining
from targets.adapter.work import judge
from training.loop import Run, Schedule
from training.muon import MuonWithAdamW
from training.watch import StoppedError, Watch

pytestmark = pytest.mark.arithmetic

# Looks are at every eighth step; the damage is found at the one at 32. At a higher rate rounding
# errors grow so fast that every kind of processor ends elsewhere.
STEPS, RATE, LOOK = 48, 0.03, 32
WRONG = 7  # a token
NewRun = Callable[..., tuple[AdapterTraining, Run]]
Harm = Callable[[AdapterTraining, Run], None]


@pytest.fixture
def new_run(student, tokenizer, datasets, tmp_path) -> NewRun:  # noqa: F811
    """What a new process would make: the adapter, untrained, and its run in a folder."""

    def made(folder: str, **settings: Any) -> tuple[AdapterTraining, Run]:
        (tmp_path / folder).mkdir(exist_ok=True)
        _, training = training_of(student, tokenizer, datasets["sums"], **settings)
        return training, run_of(training, tmp_path / folder, steps=STEPS, rate=RATE)

    return made


def events(run: Run) -> list[dict[str, Any]]:
    return [entry for entry in run.log if "event" in entry]


def looks(run: Run) -> list[tuple[int, float]]:
    """Step and held-out loss of every look."""
    return [(entry["step"], entry[LOSS]) for entry in run.log if LOSS in entry]


def best_look_before_damage(run: Run) -> tuple[float, int]:
    """Its held-out loss, and its step."""
    return min((loss, step) for step, loss in looks(run) if step < LOOK)


def damaged(
    new_run: NewRun, folder: str, harm: Harm, step: int = LOOK, **settings: Any
) -> tuple[float, Run]:
    """Held-out loss at the end of a run that was harmed between this step and what follows it."""
    training, run = new_run(folder, **settings)

    def killed(done: int, _total: int, **_figures: Any) -> None:
        if done == step:
            raise KilledError

    with pytest.raises(KilledError):
        training.fit(run, 1, killed)
    harm(training, run)
    run.save()

    training, run = new_run(folder, **settings)
    training.fit(run, 1, silent)
    return training.held_out_loss(), run


def noise(times: float) -> Harm:
    """Noise in an adapter that brings the held-out loss to so many times the best look's."""

    def add(training: AdapterTraining, run: Run) -> None:
        assert run.best is not None
        clean, aim = training.state(), times * run.best[0]
        generator = torch.Generator().manual_seed(0)
        drawn = {name: torch.randn(one.shape, generator=generator) for name, one in clean.items()}

        def loss_at(scale: float) -> float:
            training.restore({name: one + scale * drawn[name] for name, one in clean.items()})
            return training.held_out_loss()

        low, high = 0.0, 0.01
        while loss_at(high) < aim:
            low, high = high, 2 * high
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if loss_at(middle) < aim else (low, middle)
        assert loss_at(high) == pytest.approx(aim, rel=0.01)

    return add


def test_where_nothing_happens_there_is_no_event(new_run: NewRun) -> None:
    training, run = new_run("undamaged")
    training.fit(run, 1, silent)
    assert events(run) == [] and training.held_out_loss() < looks(run)[0][1]


def test_much_noise_in_an_adapter_is_undone(new_run: NewRun) -> None:
    times, left_alone, best = SPIKE, 0.0, 0.0
    while left_alone <= best:  # steps that follow train some of it away
        times *= 2
        name = f"left alone, {times} times"
        left_alone, run = damaged(new_run, name, noise(times), recovery_steps=0)
        best, at = best_look_before_damage(run)
        assert events(run) == []
    end, run = damaged(new_run, "much", noise(times))
    spike, back = events(run)
    assert spike["event"] == "spike" and spike["measured"] == LOSS
    assert spike["value"] > spike["threshold"]
    told = {"event": "rolled back", "to_step": at, "goes_on_at": at, "rate_factor": 0.5}
    assert back == {"step": LOOK, **told}
    assert end < best


@pytest.mark.parametrize(("steps", "outcome"), [(40, "recovered"), (1, "rolled back")])
def test_some_noise_is_trained_away_or_undone(new_run: NewRun, steps: int, outcome: str) -> None:
    some = noise((SPIKE + LOSS_ABOVE) / 2)
    end, run = damaged(new_run, "some", some, recovery_steps=steps)
    recovery, after = events(run)
    assert recovery["event"] == "recovery" and recovery["steps"] == steps
    assert recovery["value"] > recovery["threshold"] > recovery["holds_at"]
    assert after["event"] == outcome
    assert end < best_look_before_damage(run)[0]


def test_an_adapter_of_no_numbers_is_undone(new_run: NewRun) -> None:
    def spoil(training: AdapterTraining, _run: Run) -> None:
        training.restore({name: one * float("nan") for name, one in training.state().items()})

    end, run = damaged(new_run, "run", spoil, step=31)
    assert [entry["event"] for entry in events(run)] == ["the loss is not a number", "rolled back"]
    assert end < best_look_before_damage(run)[0]
    with pytest.raises(ArithmeticError, match="not a number at step 31"):
        damaged(new_run, "without recovery", spoil, step=31, recovery_steps=0)


class WrongRows(StudentRows):
    """Rows whose soft targets are all one wrong token."""

    def soft_targets(self, batch: Batch) -> SoftTargets:
        right = super().soft_targets(batch)
        return replace(right, ids=right.ids.where(right.ids < 0, WRONG))


@pytest.mark.parametrize("spoilt", ["rate", "rows"])
def test_a_spike_of_the_loss_is_undone(new_run: NewRun, spoilt: str) -> None:
    """A learning rate of twenty times what it is to be, or soft targets of one wrong token."""
    ends, best = {}, 0.0
    for name, steps in (("with", 20), ("without", 0)):
        training, run = new_run(name, recovery_steps=steps, validate_every=16, kl_weight=1.0)
        good = training.rows
        bad = WrongRows(**vars(good))

        def progress(done: int, _: int, run=run, training=training, good=good, bad=bad, **_f: Any):
            now = 16 < done < 31 and not events(run)
            if spoilt == "rows":
                training.rows = bad if now else good
            elif not events(run):
                run.rate = 20.0 if now else 1.0

        training.fit(run, 1, progress)
        ends[name] = training.held_out_loss()
        best, _ = best_look_before_damage(run)
        found = [entry["event"] for entry in events(run)]
        assert found == (["spike", "rolled back"] if steps else [])
    assert ends["with"] < best < ends["without"]


def go_on(training: AdapterTraining, first: Run, schedule: Schedule) -> Run:
    """Another run from where the first one ended, by its own schedule."""
    checkpoint = first.checkpoint.with_name(f"{schedule.peak}.pt")
    run = Run(training.parameters, MuonWithAdamW(training.parameters, {}), schedule, checkpoint)
    training.fit(run, 2, silent)
    return run


def test_a_good_start_may_be_left(new_run: NewRun) -> None:
    """An adapter that begins well gets a little worse at a high rate before it gets better."""
    training, first = new_run("first")
    training.fit(first, 1, silent)
    good, begun = training.state(), training.held_out_loss()
    rate, left = RATE, begun
    while left < LOSS_ABOVE * begun:  # more than that is a finding where it is above a look
        rate *= 1.5
        training.restore(good)
        second = go_on(training, first, Schedule(16, rate, 4))
        (_, left), (_, end) = looks(second)[1:]
    assert events(second) == [] and end < left


def test_a_rate_that_is_too_high_is_halved_and_ends_where_it_began(new_run: NewRun) -> None:
    training, run = new_run("good")
    training.fit(run, 1, silent)
    good = training.held_out_loss()
    wild = go_on(training, run, Schedule(8, 10.0, 1))
    backs = [entry for entry in wild.log if entry.get("event") == "rolled back"]
    assert [entry["goes_on_at"] for entry in backs] == [0, 0, 0, 8]
    assert [entry["rate_factor"] for entry in backs] == [0.5, 0.25, 0.125, 0.0625]
    assert training.held_out_loss() == pytest.approx(good, rel=1e-5)


@pytest.mark.parametrize("better", ["last state", "best look"])
def test_a_round_ends_in_the_better_of_its_last_state_and_its_best_look(
    new_run: NewRun, better: str
) -> None:
    training, run = new_run("run", metric="bits_per_byte")
    untrained = training.state()
    training.fit(run, 1, silent)
    trained = training.state()
    retained, log = judge(training, run)
    assert log == [{"validation_retained": round(retained, 6)}]  # the last look was the best one

    last, looked = (trained, untrained) if better == "last state" else (untrained, trained)
    run.best = (0.0, looked)
    training.restore(last)
    again, log = judge(training, run)
    assert again == retained
    assert [entry.get("judged") for entry in log] == ["last state", "best look", None]
    assert all(torch.equal(value, trained[name]) for name, value in training.state().items())


def test_more_than_nothing_is_told_in_a_word(new_run: NewRun) -> None:
    """Of a teacher that gets no validation row right, any right answer is infinitely much."""
    training, run = new_run("run")
    run.best = (0.0, training.state())
    teacher = [0.0] * len(training.validation.rows)
    training.validation_scores = lambda: [1.0] * len(teacher)  # type: ignore[method-assign]
    training.validation = replace(training.validation, teacher_scores=teacher)
    retained, log = judge(training, run)
    assert retained == inf and log == [{"validation_retained": "inf"}]


@pytest.mark.usefixtures("restored_signals")
def test_a_stop_within_a_recovery_changes_nothing(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("targets.adapter.recovery.LOSS_ABOVE", 0.1)  # no look is good enough
    whole, run = new_run("whole", recovery_steps=4)
    whole.fit(run, 1, silent)
    training, run = new_run("stopped", recovery_steps=4)

    def stop(*_done: int, note: str = "", **_figures: Any) -> None:
        if note.startswith("recovery: step 3"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError, match="the next build goes on from there"):
        training.fit(run, 1, stop, Watch({}))
    training, run = new_run("stopped", recovery_steps=4)
    training.fit(run, 1, silent)
    expected = whole.state()
    assert all(torch.equal(value, expected[name]) for name, value in training.state().items())


@pytest.mark.usefixtures("restored_signals")
def test_who_looks_after_every_step_still_heeds_signals_and_rests(new_run: NewRun) -> None:
    training, run = new_run("run", validate_every=1)
    notes = []

    def heard(done: int, _total: int, note: str = "", **_figures: Any) -> None:
        notes.append(note)
        if done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    watch = Watch({"cooldown": {"every_steps": 4, "seconds": 0.5}})
    with pytest.raises(StoppedError, match="after step 5"):
        training.fit(run, 1, heard, watch)
    assert "cooling down" in notes
    _, resumed = new_run("run", validate_every=1)
    resumed.resume()
    assert resumed.step == 5 and resumed.log == run.log


def test_an_adapter_that_predicts_no_numbers_at_its_first_look_is_undone(new_run: NewRun) -> None:
    """Nothing was looked at before that the look could be held against."""
    training, run = new_run("run")
    measured = training.held_out_loss
    untrained = measured()
    values = iter([untrained, float("nan")])
    training.held_out_loss = lambda: next(values, None) or measured()  # type: ignore[method-assign]
    training.fit(run, 1, silent)
    spike, back = events(run)
    assert (spike["event"], spike["step"], spike["value"]) == ("spike", 8, "nan")
    assert back["to_step"] == 0 and measured() < untrained
    assert "NaN" not in json.dumps(run.log) and "Infinity" not in json.dumps(run.log)
