"""Stages 2 and 3: one pass over the mapped text, and the spectra of its streams.

Answer tokens count in full, prompt tokens less; first tokens and other sinks not at all. Only sums
are held, and every so often written down, so that a pass that was killed goes on from its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor

from opened_models.batches import Batch
from opened_models.structure import Structure
from opened_models.surgery import ReadStream, reading, run_blocks
from targets.profile.activation_mapping import ActivationMap
from targets.profile.checkpoints import Checkpoints
from targets.profile.heldout import HeldoutVariance
from targets.profile.moments import moments_of_stream
from targets.profile.settings import Settings
from targets.profile.sinks import SinkFilter
from targets.profile.streaming_pca import Spectrum, spectrum


class TextSums:
    """What the pass gathers: statistics of all blocks; of each key layer moments and its sinks."""

    def __init__(self, structure: Structure, layers: Sequence[int], sink_ratio: float) -> None:
        widths = {layer: structure.blocks[layer].width for layer in layers}
        self.activations = ActivationMap(structure)
        self.moments = {
            layer: moments_of_stream(width, structure.model.device)
            for layer, width in widths.items()
        }
        self.sinks = {layer: SinkFilter(sink_ratio) for layer in layers}

    def state(self) -> dict[str, Any]:
        """All that is held, for a checkpoint."""
        return {
            "activations": self.activations.state(),
            "moments": {layer: sums.state() for layer, sums in self.moments.items()},
            "sinks": {layer: sinks.state() for layer, sinks in self.sinks.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.activations.restore(state["activations"])
        for layer, sums in self.moments.items():
            sums.restore(state["moments"][layer])
            self.sinks[layer].restore(state["sinks"][layer])


@torch.inference_mode()
def map_text(
    structure: Structure,
    text: Sequence[Batch],
    layers: Sequence[int],
    settings: Settings,
    checkpoints: Checkpoints,
    progress: Callable[[float], None],
) -> TextSums:
    """Statistics of neurons and heads, and moments of the stream after each of `layers`.

    progress: called with the share of batches that is done.
    """
    found = TextSums(structure, layers, settings.sink_ratio)
    saved = checkpoints.read("text")
    if saved is not None:
        found.restore(saved["sums"])
    done = 0 if saved is None else int(saved["batches"])

    def state() -> dict[str, Any]:
        return {"batches": done, "sums": found.state()}

    for batch in text[done:]:
        with found.activations.watching(batch):
            read_streams(structure, batch, found.moments, found.sinks, settings.prompt_weight)
        done += 1
        checkpoints.write_if_due("text", state)
        progress(done / len(text))
    if saved is None or done > int(saved["batches"]):
        checkpoints.write("text", state())
    return found


def spectra_of(sums: TextSums, settings: Settings) -> dict[int, Spectrum]:
    """The spectrum of each key layer, up to the largest share of variance that may be asked for."""
    return {
        layer: spectrum(moments, settings.massive_ratio, max(settings.levels()))
        for layer, moments in sums.moments.items()
    }


@torch.inference_mode()
def heldout_variances(
    structure: Structure,
    text: Sequence[Batch],
    spectra: Mapping[int, Spectrum],
    sinks: Mapping[int, SinkFilter],
    settings: Settings,
) -> dict[int, HeldoutVariance]:
    """How much of the variance of `text` each spectrum explains."""
    found = {
        layer: HeldoutVariance(of_layer, of_layer.rank(max(settings.levels())))
        for layer, of_layer in spectra.items()
    }
    for batch in text:
        read_streams(structure, batch, found, sinks, settings.prompt_weight)
    return found


class Rows(Protocol):
    """What takes in rows of a stream, each with a weight, and keeps none."""

    def add(self, rows: Tensor, weights: Tensor) -> None: ...


def read_streams(
    structure: Structure,
    batch: Batch,
    into: Mapping[int, Rows],
    sinks: Mapping[int, SinkFilter],
    prompt_weight: float,
) -> None:
    """Run a batch and hand the stream of each key layer, sinks left out, to what takes it in."""

    def reader(layer: int) -> ReadStream:
        def read(stream: Tensor) -> None:
            rows = stream.flatten(0, 1)  # (rows * tokens, width)
            answer, rest = batch.sides_of(structure.blocks[layer].tower, len(rows))
            mask = answer | rest
            rows, weights = rows[mask], torch.where(answer, 1.0, prompt_weight)[mask]
            ordinary = sinks[layer].ordinary(rows)
            apart = len(rows) - int(ordinary.sum())
            if apart:
                rows, weights = rows[ordinary], weights[ordinary]
                sinks[layer].left_out += apart
            into[layer].add(rows, weights)

        return read

    with ExitStack() as stack:
        stack.enter_context(reading({layer: reader(layer) for layer in into}, structure))
        run_blocks(structure, batch)
