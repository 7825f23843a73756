"""What recovery is worth: one adapter trained undisturbed, damaged, and damaged without recovery.

    python benchmarks/recovery.py PROJECT CAPABILITY [--steps 300] [--look-every 50]

PROJECT: the folder of a `nexus.yaml` whose capability was built. All runs share backbone, traces,
seed and schedule. Noise is added to the adapter in its checkpoint, at nine sixteenths of the run;
for the spike, every answer in the eighth of the run before that is random tokens. Prints held-out
loss and metric on `validation` at the end of each, and what the log says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from modalities.text.student_rows import StudentRows, student_rows
from modalities.text.trace_sources import trace_sources
from nexus.packing import load_backbone
from nexusbuild.plugins import Job
from opened_models.tokenizers import open_tokenizer
from specs.loading import load
from targets.adapter import target as adapter_target
from targets.adapter.low_rank import fresh_low_rank
from targets.adapter.settings import Settings
from targets.adapter.training import AdapterTraining
from targets.adapter.work import planned_ranks, validation_of
from training.loop import Run, Schedule
from training.muon import MuonWithAdamW

SEED = 11


class StoppedHereError(Exception):
    """A run that is to go on from a damaged checkpoint."""


@dataclass(frozen=True)
class Damage:
    """noise: standard deviation on every number of the adapter. garbage: answers, for a stretch."""

    noise: float = 0.0
    garbage: bool = False


class Capability:
    """A built capability, of which the same adapter can be trained again and again."""

    def __init__(self, project: Path, name: str, steps: int, look_every: int) -> None:
        declared = adapter_target.declare(load(project / "nexus.yaml"), name)
        folder = Path(tempfile.mkdtemp())
        self._job = Job(
            target=declared.id,
            settings=declared.settings,
            inputs={role: _built(project, wanted) for role, wanted in declared.inputs.items()},
            sources={},
            out=folder,
            scratch=folder,
            seed=SEED,
            threads=1,
            progress=_unseen,
        )
        settings = Settings.from_json(self._job.settings)
        self.settings = replace(settings, steps=steps, validate_every=look_every)
        self._model = load_backbone(self._job.inputs["backbone"], "cpu")
        self._tokenizer = open_tokenizer(self._job.inputs["tokenizer"])
        self.validation = validation_of(self._job, self.settings)
        sources = trace_sources(self._job.inputs, open_tokenizer, capability="")
        self.rows = student_rows(sources, self._tokenizer, folder / "rows")

    def untrained(self, recovery_steps: int) -> tuple[AdapterTraining, Run]:
        """The adapter as it begins, and its run, whose checkpoint lies in the scratch folder."""
        settings = replace(self.settings, recovery_steps=recovery_steps)
        adapter = fresh_low_rank(self._model, planned_ranks(self._job, self._model), SEED)
        training = AdapterTraining(
            self._model, self._tokenizer, adapter, self.rows, self.validation, settings
        )
        optimiser = MuonWithAdamW(training.parameters, {})
        schedule = Schedule(settings.steps, settings.learning_rate, settings.warmup_steps)
        return training, Run(training.parameters, optimiser, schedule, self._job.scratch / "run.pt")


def _built(project: Path, wanted: str) -> Path:
    target, _, file = wanted.partition("#")
    return project / "build" / target.replace(":", "/") / file


def _unseen(*_done: float, **_figures: float | str) -> None:
    """Nobody watches."""


def trained(
    capability: Capability, damage: Damage, recovery_steps: int
) -> tuple[AdapterTraining, Run]:
    """Train to the end, with the damage on the way."""
    begin = capability.settings.steps * 7 // 16
    end = capability.settings.steps * 9 // 16
    training, run = capability.untrained(recovery_steps)
    run.checkpoint.unlink(missing_ok=True)
    garbage = _garbage(capability.rows)

    def watched(done: int, *_total: float, **_figures: float | str) -> None:
        if damage.garbage:
            found = any("event" in entry and entry["step"] >= begin for entry in run.log)
            training.rows = garbage if begin <= done < end and not found else capability.rows
        if damage.noise and done == end:
            run.save()
            raise StoppedHereError

    try:
        training.fit(run, SEED, watched)
    except StoppedHereError:
        _add_noise(run.checkpoint, damage.noise)
        training, run = capability.untrained(recovery_steps)
        training.fit(run, SEED, _unseen)
    return training, run


def _garbage(rows: StudentRows) -> StudentRows:
    generator = torch.Generator().manual_seed(SEED)
    vocabulary = 1 + max(max(answer) for answer in rows.answers)

    def drawn(size: int) -> list[int]:
        return torch.randint(0, vocabulary, (size,), generator=generator).tolist()

    return replace(rows, answers=[drawn(len(answer)) for answer in rows.answers])


def _add_noise(checkpoint: Path, scale: float) -> None:
    saved = torch.load(checkpoint, weights_only=True)
    generator = torch.Generator().manual_seed(SEED)
    for value in saved["parameters"].values():
        value += scale * torch.randn(value.shape, generator=generator)
    torch.save(saved, checkpoint)


def _told(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("capability")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--look-every", type=int, default=50)
    parser.add_argument("--noise", type=float, nargs=2, default=[0.05, 0.2])
    parser.add_argument("--recovery-steps", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    capability = Capability(options.project, options.capability, options.steps, options.look_every)
    some, much = options.noise
    damages = {
        "undisturbed": Damage(),
        f"noise of {some:g}": Damage(noise=some),
        f"noise of {much:g}": Damage(noise=much),
        "garbage answers": Damage(garbage=True),
    }
    lines, logs = [], []
    for name, damage in damages.items():
        for recovery_steps in (options.recovery_steps, 0):
            began = time.process_time()
            training, run = trained(capability, damage, recovery_steps)
            seconds = time.process_time() - began
            scores = training.validation_scores()
            metric = capability.validation.metric
            value = metric.aggregate(scores, metric.weights(capability.validation.rows))
            how = "with" if recovery_steps else "without"
            lines.append(
                f"| {name} | {how} | {training.held_out_loss():.4f} | {value:.3f} | {seconds:.0f} |"
            )
            print(lines[-1], flush=True)
            logs += [f"{name}, {how}: {_told(e)}" for e in run.log if "loss" not in e]
    print("| run | recovery | held-out loss | metric on validation | CPU-s |")
    print("\n".join([*lines, "", *logs]))


if __name__ == "__main__":
    main()
