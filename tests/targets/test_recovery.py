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

from targets.adapter.training import AdapterTraining
from targets.adapter.work import judged
from training.loop import Run, Schedule
from training.muon import MuonWithAdamW
from training.watch import StoppedError, Watch

# Looks are at every eighth step; the damage is done between the looks at 24 and 32.
STEPS, RATE = 48, 0.08
NewRun = Callable[..., tuple[AdapterTraining, Run]]


@pytest.fixture
def new_run(student, tokenizer, datasets, tmp_path) -> NewRun:  # noqa: F811
    """What a new process would make: the adapter, untrained, and its run in a folder."""

    def made(folder: str, **settings: Any) -> tuple[AdapterTraining, Run]:
        (tmp_path / folder).mkdir(exist_ok=True)
        _, training = training_of(student, tokenizer, datasets["sums"], **settings)
        return training, run_of(training, tmp_path / folder, steps=STEPS, rate=RATE)

    return made


@pytest.fixture
def undamaged(new_run: NewRun) -> float:
    """The held-out loss with which training ends where nothing happens."""
    training, run = new_run("undamaged")
    training.fit(run, 1, silent)
    assert events(run) == []
    return training.held_out_loss()


def events(run: Run) -> list[dict[str, Any]]:
    return [entry for entry in run.log if "event" in entry]


def damaged(new_run: NewRun, folder: str, scale: float, **settings: Any) -> tuple[float, Run]:
    """Held-out loss at the end of a run whose checkpoint got noise at step 31."""
    training, run = new_run(folder, **settings)

    def killed(done: int, _total: int, **_figures: Any) -> None:
        if done == 31:
            run.save()
            raise KilledError

    with pytest.raises(KilledError):
        training.fit(run, 1, killed)
    saved = torch.load(run.checkpoint, weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for value in saved["parameters"].values():
        value += scale * torch.randn(value.shape, generator=generator)
    torch.save(saved, run.checkpoint)

    training, run = new_run(folder, **settings)
    training.fit(run, 1, silent)
    return training.held_out_loss(), run


def test_much_noise_in_an_adapter_is_undone(new_run: NewRun, undamaged: float) -> None:
    end, run = damaged(new_run, "much", 0.1)
    spike, back = events(run)
    assert spike["event"] == "spike" and spike["measured"] == "validation_loss"
    assert spike["value"] > spike["threshold"]
    told = {"step": 32, "event": "rolled back", "to_step": 24, "goes_on_at": 24, "rate_factor": 0.5}
    assert back == told
    assert end < 1.05 * undamaged
    left_alone, run = damaged(new_run, "left alone", 0.1, recovery_steps=0)
    assert events(run) == [] and left_alone > 1.3 * undamaged


@pytest.mark.parametrize(("steps", "outcome"), [(40, "recovered"), (1, "rolled back")])
def test_some_noise_is_trained_away_or_undone(
    new_run: NewRun, undamaged: float, steps: int, outcome: str
) -> None:
    end, run = damaged(new_run, "some", 0.05, recovery_steps=steps)
    recovery, after = events(run)
    assert recovery["event"] == "recovery" and recovery["steps"] == steps
    assert recovery["value"] > recovery["threshold"] > recovery["holds_at"]
    assert after["event"] == outcome
    # What was recovered goes on a little above the best; what was undone trains the steps anew.
    assert end < (1.15 if outcome == "recovered" else 1.05) * undamaged


def test_an_adapter_of_no_numbers_is_undone(new_run: NewRun, undamaged: float) -> None:
    end, run = damaged(new_run, "run", float("nan"))
    assert [entry["event"] for entry in events(run)] == ["the loss is not a number", "rolled back"]
    assert end < 1.05 * undamaged
    with pytest.raises(ArithmeticError, match="not a number at step 31"):
        damaged(new_run, "without recovery", float("nan"), recovery_steps=0)


@pytest.mark.parametrize("spoilt", ["rate", "rows"])
def test_a_spike_of_the_loss_is_undone(new_run: NewRun, undamaged: float, spoilt: str) -> None:
    """A learning rate of twenty times what it is to be, or rows with answers of random tokens."""
    ends = {}
    for name, steps in (("with", 20), ("without", 0)):
        training, run = new_run(name, recovery_steps=steps)
        good = training.rows
        generator = torch.Generator().manual_seed(0)
        random = [torch.randint(2, 320, (len(a),), generator=generator) for a in good.answers]
        bad = replace(good, answers=[answer.tolist() for answer in random])

        def progress(done: int, _: int, run=run, training=training, good=good, bad=bad, **_f: Any):
            now = 25 <= done < 31 and not events(run)
            if spoilt == "rows":
                training.rows = bad if now else good
            elif not events(run):
                run.rate = 20.0 if now else 1.0

        training.fit(run, 1, progress)
        ends[name] = training.held_out_loss()
        found = [entry["event"] for entry in events(run)]
        assert found == (["spike", "rolled back"] if steps else [])
    assert ends["with"] < 1.05 * undamaged
    assert ends["without"] > 1.3 * undamaged


def trained_twice(training: AdapterTraining, run: Run, schedule: Schedule) -> tuple[float, Run]:
    """The held-out loss after a run, and another run that went on from there by its schedule."""
    training.fit(run, 1, silent)
    between = training.held_out_loss()
    optimiser = MuonWithAdamW(training.parameters, {})
    second = Run(training.parameters, optimiser, schedule, run.checkpoint.with_name("second.pt"))
    training.fit(second, 2, silent)
    return between, second


def test_a_good_start_may_be_left(new_run: NewRun) -> None:
    """An adapter that begins well gets a little worse at a high rate before it gets better."""
    training, run = new_run("first")
    begun, second = trained_twice(training, run, Schedule(24, 0.03, 4))
    looks = [entry["validation_loss"] for entry in second.log if "validation_loss" in entry]
    assert events(second) == [] and looks[-1] < begun < looks[1]


def test_a_rate_that_is_too_high_is_halved_and_ends_where_it_began(new_run: NewRun) -> None:
    training, run = new_run("good")
    good, wild = trained_twice(training, run, Schedule(8, 3.0, 1))
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
    retained, log = judged(training, run)
    assert log == [{"validation_retained": round(retained, 6)}]  # the last look was the best one

    last, looked = (trained, untrained) if better == "last state" else (untrained, trained)
    run.best = (0.0, looked)
    training.restore(last)
    again, log = judged(training, run)
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
    retained, log = judged(training, run)
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


def test_an_adapter_that_predicts_no_numbers_at_its_first_look_is_undone(
    new_run: NewRun, undamaged: float
) -> None:
    """Nothing was looked at before that the look could be held against."""
    training, run = new_run("run")
    measured = training.held_out_loss
    values = iter([measured(), float("nan")])
    training.held_out_loss = lambda: next(values, None) or measured()  # type: ignore[method-assign]
    training.fit(run, 1, silent)
    spike, back = events(run)
    assert (spike["event"], spike["step"], spike["value"]) == ("spike", 8, "nan")
    assert back["to_step"] == 0 and measured() < 1.15 * undamaged
    assert "NaN" not in json.dumps(run.log) and "Infinity" not in json.dumps(run.log)
