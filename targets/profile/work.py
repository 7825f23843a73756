"""Profile one teacher for one capability: which blocks, heads and directions carry it.

Four stages over a teacher in memory; what is written is small, and no hidden state is among it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from targets.answers import Description
from targets.profile.ablation import Measure, ablate
from targets.profile.activation_mapping import ActivationMap
from targets.profile.answering import Answers, Asker, asker_of
from targets.profile.batches import Batch
from targets.profile.coefficients import coefficients
from targets.profile.head_importance import head_importance
from targets.profile.heldout import HeldoutVariance
from targets.profile.moments import moments_of_stream
from targets.profile.pilot import Pilot, split_pilot
from targets.profile.reconstruction import check_reconstruction
from targets.profile.records import Findings, write_profile
from targets.profile.settings import Settings
from targets.profile.streaming_pca import spectrum
from targets.profile.structure import Structure, find_structure
from targets.profile.surgery import ReadStream, reading, removed, run_blocks
from targets.rows import read_json, read_rows
from targets.teachers.loading import open_teacher
from targets.teachers.media import has_media

if TYPE_CHECKING:
    from nexusbuild.graph import Job

STAGES = ("answers", "ablation", "heads", "activations", "reconstruction", "coefficients", "done")


def build(job: Job) -> None:
    """Write the profile's files (see `records.write_profile`) to `job.out`."""
    settings = Settings.from_json(job.settings)
    pilot = split_pilot(read_rows(job.inputs["pilot"]), settings, job.seed)
    description = Description.from_json(read_json(job.inputs["description"]))
    teacher = open_teacher(job)
    media = any(has_media(row) for row in pilot.all_rows())
    structure = find_structure(teacher.model, media=media)
    asker = asker_of(teacher, structure, description, settings.metric, pilot.all_rows())

    def begin(stage: str) -> None:
        job.progress(STAGES.index(stage), len(STAGES) - 1, stage=stage)

    begin("answers")
    answers = _first_answers(asker, pilot, settings.verify_outputs)
    ablated = answers.part(0, len(pilot.ablated))
    heldout = answers.part(len(pilot.ablated), len(pilot.ablated) + len(pilot.heldout))

    begin("ablation")
    own_batches = asker.own_batches(ablated, settings.batch_tokens)
    ablation = ablate(
        structure,
        own_batches,
        _metric_without(asker, ablated),
        budget=settings.key_layers,
        higher_is_better=asker.higher_is_better,
        metric_drop=settings.metric_drop,
        decodes=settings.decodes,
    )

    begin("heads")
    heads = head_importance(
        structure,
        own_batches,
        by_gradient=asker.differentiable and settings.load not in ("int8", "nf4"),
    )

    begin("activations")
    mapped = asker.batches(pilot.mapped, settings.batch_tokens)
    activations = ActivationMap(structure)
    sums = {
        layer: moments_of_stream(structure.blocks[layer].width, structure.model.device)
        for layer in ablation.key_layers
    }
    _read_into(sums, structure, mapped, settings.prompt_weight, activations)
    levels = [
        settings.explained_variance,
        *(level for level in settings.raised_to if level > settings.explained_variance),
    ]
    spectra = {
        layer: spectrum(of_layer, settings.massive_ratio, max(levels))
        for layer, of_layer in sums.items()
    }
    elsewhere = {
        layer: HeldoutVariance(found, found.rank(max(levels))) for layer, found in spectra.items()
    }
    text = asker.batches(pilot.heldout, settings.batch_tokens)
    _read_into(elsewhere, structure, text, settings.prompt_weight)

    begin("reconstruction")
    reconstruction, bases = check_reconstruction(
        structure,
        spectra,
        heldout.scores,
        lambda: asker.ask(heldout.rows, heldout.room()).scores,
        higher_is_better=asker.higher_is_better,
        levels=levels,
        max_fall=settings.max_metric_fall,
    )

    begin("coefficients")
    in_bases = coefficients(structure, bases, mapped, settings.coefficient_bytes)

    findings = Findings(
        structure=structure,
        metric=asker.metric,
        unit=asker.unit,
        pilot=pilot,
        answers=answers,
        ablation=ablation,
        heads=heads,
        activations=activations,
        spectra=spectra,
        heldout=elsewhere,
        reconstruction=reconstruction,
        bases=bases,
        coefficients=in_bases,
    )
    write_profile(job.out, job.target.partition(":")[2], settings, findings)
    begin("done")


def _first_answers(asker: Asker, pilot: Pilot, at_least: int) -> Answers:
    """The whole teacher's answers: ablated rows, held-out rows, then mapped ones for the count."""
    rows = [*pilot.ablated, *pilot.heldout]
    more = pilot.mapped[len(pilot.ablated) :][: max(0, at_least - len(rows))]
    return asker.ask([*rows, *more])


def _metric_without(asker: Asker, whole: Answers) -> Measure:
    """A function: mean metric on the rows of `whole` with some blocks removed."""

    def measure(indices: Collection[int]) -> float:
        if not indices:
            return whole.mean_score()
        with removed(indices, asker.structure):
            return asker.ask(whole.rows, whole.room()).mean_score()

    return measure


class Rows(Protocol):
    """What takes in rows of a stream, each with a weight, and keeps none."""

    def add(self, rows: Tensor, weights: Tensor) -> None: ...


@torch.inference_mode()
def _read_into(
    sums: Mapping[int, Rows],
    structure: Structure,
    text: Sequence[Batch],
    prompt_weight: float,
    activations: ActivationMap | None = None,
) -> None:
    """One pass over the text: the stream after each layer, and neurons' statistics."""
    for batch in text:

        def reader(layer: int, into: Rows, batch: Batch = batch) -> ReadStream:
            def read(stream: Tensor) -> None:
                rows = stream.flatten(0, 1)  # (rows * tokens, width)
                answer, rest = batch.sides_of(structure.blocks[layer].tower, len(rows))
                mask = answer | rest
                into.add(rows[mask], torch.where(answer, 1.0, prompt_weight)[mask])

            return read

        with ExitStack() as stack:
            if activations is not None:
                stack.enter_context(activations.watching(batch))
            readers = {layer: reader(layer, into) for layer, into in sums.items()}
            stack.enter_context(reading(readers, structure))
            run_blocks(structure, batch)
