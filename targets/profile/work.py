"""Profile one teacher for one capability: which blocks, heads and directions carry it.

Four stages over a teacher in memory; what is written is small, and no hidden state is among it.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Collection
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from modalities.json_files import read_json, read_rows
from modalities.payloads import rows_with_paths
from modalities.text.answers import Description
from modalities.text.asking import Answers, Asker, asker_of
from opened_models.loading import open_teacher
from opened_models.structure import find_structure
from opened_models.surgery import remove_blocks
from targets.profile.ablation import Measure, ablate
from targets.profile.checkpoints import Checkpoints
from targets.profile.coefficients import coefficients, room_for_coefficients
from targets.profile.head_importance import Importance, head_importance
from targets.profile.pilot import Pilot, split_pilot
from targets.profile.reconstruction import check_reconstruction
from targets.profile.records import Findings, warnings, write_profile
from targets.profile.settings import Settings
from targets.profile.spectral_analysis import heldout_variances, map_text, spectra_of

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

STAGES = (
    "answers",
    "ablation",
    "heads",
    "mapping",
    "spectra",
    "reconstruction",
    "coefficients",
    "done",
)
KEPT = (Answers, Importance)


class Stages:
    """Where a profile stands: progress by stage, the seconds that each took, and checkpoints."""

    def __init__(self, job: Job) -> None:
        self.checkpoints = Checkpoints(job.scratch, KEPT)
        self._job = job
        self._stage = ""
        self._began = time.monotonic()

    def begin(self, stage: str) -> None:
        """The stage before has ended, and this one begins."""
        now = time.monotonic()
        if self._stage:
            self._job.measured(**{f"{self._stage}_seconds": round(now - self._began, 3)})
        self._stage, self._began = stage, now
        self.advance(0.0)

    def advance(self, share: float) -> None:
        """This share of the stage is done."""
        done = STAGES.index(self._stage) + share
        self._job.progress(done, len(STAGES) - 1, stage=self._stage)


def build(job: Job) -> None:
    """Write the profile's files (see `records.write_profile`) to `job.out`."""
    # A crash in a library would leave all that is in memory, states too, in the folder it ran in.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    settings = Settings.from_json(job.settings)
    rows = rows_with_paths(read_rows(job.inputs["pilot"]), job.inputs.get("media"))
    pilot = split_pilot(rows, settings, job.seed)
    description = Description.from_json(read_json(job.inputs["description"]))
    teacher = open_teacher(job)
    media = any("image" in row.get("parts", {}) for row in pilot.all_rows())
    structure = find_structure(teacher.model, media=media)
    asker = asker_of(
        teacher,
        structure,
        description,
        job.load("metric").METRIC,
        pilot.all_rows(),
        settings.batch_tokens,
        job.load("reading").read_as,
    )
    stages = Stages(job)
    once = stages.checkpoints.once

    stages.begin("answers")
    answers = once("answers", lambda: _first_answers(asker, pilot, settings.verify_outputs))
    ablated = answers.part(0, len(pilot.ablated))
    heldout = answers.part(len(pilot.ablated), len(pilot.ablated) + len(pilot.heldout))
    pilot = pilot.answered(answers.rows)

    stages.begin("ablation")
    own_batches = asker.own_batches(ablated, settings.batch_tokens)
    ablation = ablate(
        structure,
        own_batches,
        _metric_without(asker, ablated),
        budget=settings.key_layers,
        higher_is_better=asker.higher_is_better,
        key_layer_drop=settings.key_layer_drop,
        decodes=settings.decodes,
        once=once,
    )

    stages.begin("heads")
    slopes = asker.differentiable and settings.load not in ("int8", "nf4")
    heads = head_importance(structure, own_batches, once, by_gradient=slopes)

    stages.begin("mapping")
    mapped = asker.batches(pilot.mapped, settings.batch_tokens)
    sums = map_text(
        structure, mapped, ablation.key_layers, settings, stages.checkpoints, stages.advance
    )

    stages.begin("spectra")
    spectra = spectra_of(sums, settings)
    elsewhere = heldout_variances(
        structure,
        asker.batches(pilot.heldout, settings.batch_tokens),
        spectra,
        sums.sinks,
        settings,
    )

    stages.begin("reconstruction")
    reconstruction, bases = check_reconstruction(
        structure,
        spectra,
        heldout.scores,
        lambda: asker.scores(heldout),
        higher_is_better=asker.higher_is_better,
        levels=settings.levels(),
        max_fall=settings.max_metric_fall,
        sinks=sums.sinks,
        once=once,
    )

    stages.begin("coefficients")
    room = room_for_coefficients(structure, bases, settings.profile_bytes)
    in_bases = coefficients(
        structure, bases, sums.sinks, mapped, min(room, settings.coefficient_bytes)
    )

    findings = Findings(
        structure=structure,
        metric=asker.metric,
        unit=asker.unit,
        pilot=pilot,
        answers=answers,
        ablation=ablation,
        heads=heads,
        activations=sums.activations,
        spectra=spectra,
        sinks=sums.sinks,
        heldout=elsewhere,
        reconstruction=reconstruction,
        bases=bases,
        coefficients=in_bases,
    )
    write_profile(job.out, job.target.partition(":")[2], settings, findings)
    for doubt in warnings(findings, settings.max_metric_fall):
        job.note(doubt)
    if torch.cuda.is_available():
        job.measured(peak_vram_bytes=torch.cuda.max_memory_allocated())
    stages.begin("done")


def _first_answers(asker: Asker, pilot: Pilot, at_least: int) -> Answers:
    """The whole teacher's answers: ablated rows, held-out rows, then mapped ones for the count.

    Where mapped rows have no answers, all of those too.
    """
    rows = [*pilot.ablated, *pilot.heldout]
    spare = max(0, at_least - len(rows))
    rest = pilot.mapped[len(pilot.ablated) :]
    more = [row for place, row in enumerate(rest) if place < spare or asker.lacks_answer(row)]
    return asker.ask([*rows, *more])


def _metric_without(asker: Asker, whole: Answers) -> Measure:
    """A function: mean metric on the rows of `whole` with some blocks removed."""

    def measure(indices: Collection[int]) -> float:
        if not indices:
            return whole.mean_score()
        with remove_blocks(indices, asker.structure):
            return fmean(asker.scores(whole))

    return measure
