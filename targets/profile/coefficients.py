"""The pilot samples in the bases of their key layers: a second, short pass over the text.

The bases are known only at the end of the first pass, and no hidden state was kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from opened_models.batches import Batch
from opened_models.structure import Structure
from opened_models.surgery import ReadStream, reading, resume_at, run_blocks
from targets.profile.reconstruction import Basis
from targets.profile.sinks import SinkFilter


@dataclass
class Coefficients:
    """One layer's z = (h - mean) B / deviation, about 1 in size, so that float16 holds it.

    by_sample: sample -> float16 (tokens, k); positions: sample -> int32 (tokens,), where in the
    sample's text each row stands.
    """

    by_sample: dict[int, np.ndarray] = field(default_factory=dict)
    positions: dict[int, np.ndarray] = field(default_factory=dict)

    def bytes_of(self, sample: int) -> int:
        """What one sample's rows take."""
        return self.by_sample[sample].nbytes + self.positions[sample].nbytes

    def arrays(self, sample_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """What is stored: rows of all samples one below the other, and where each begins."""
        samples = sorted(self.by_sample)
        counts = [len(self.positions[sample]) for sample in samples]
        return {
            "coefficients": np.concatenate([self.by_sample[sample] for sample in samples]),
            "token_offsets": np.concatenate([self.positions[sample] for sample in samples]),
            "sample_offsets": np.cumsum([0, *counts]).astype(np.int64),
            "sample_ids": np.array([sample_ids[sample] for sample in samples]),
        }


# Of what a profile may take, for its texts and curves.
FOR_TEXT = 0.05


def room_for_coefficients(
    structure: Structure, bases: Mapping[int, Basis], profile_bytes: int
) -> int:
    """Bytes for each key layer that its profile's other files leave; 0 where they take all."""
    of_bases = sum(each.nbytes for basis in bases.values() for each in (basis.matrix, basis.mean))
    of_neurons = sum(16 * block.neurons for block in structure.blocks)  # four float32 each
    left = int((1 - FOR_TEXT) * profile_bytes) - of_bases - of_neurons
    return max(0, left // len(bases))


@torch.inference_mode()
def coefficients(
    structure: Structure,
    bases: Mapping[int, Basis],
    sinks: Mapping[int, SinkFilter],
    batches: Sequence[Batch],
    max_bytes: int,
) -> dict[int, Coefficients]:
    """Coefficients by key layer, of as many samples as keep the largest layer below `max_bytes`.

    At least one sample is taken. Blocks above the last key layer are passed by.
    """
    found = {layer: Coefficients() for layer in bases}
    above = range(max(bases) + 1, len(structure.blocks))
    held = 0
    for batch in batches:
        of_batch = {layer: Coefficients() for layer in bases}
        with ExitStack() as stack:
            stack.enter_context(resume_at(0, None, above, structure))
            readers = {
                layer: _reader(
                    of_batch[layer], basis, sinks[layer], batch, structure.blocks[layer].tower
                )
                for layer, basis in bases.items()
            }
            stack.enter_context(reading(readers, structure))
            run_blocks(structure, batch)
        for sample in batch.samples:
            held += max(part.bytes_of(sample) for part in of_batch.values())
            if held > max_bytes and found[min(found)].by_sample:
                return found
            for layer, part in of_batch.items():
                found[layer].by_sample[sample] = part.by_sample[sample]
                found[layer].positions[sample] = part.positions[sample]
    return found


def _reader(
    into: Coefficients, basis: Basis, sinks: SinkFilter, batch: Batch, tower: str
) -> ReadStream:
    def read(stream: Tensor) -> None:
        matrix, mean = basis.matrix.float().to(stream.device), basis.mean.to(stream.device)
        # A direction without variance has no scale of its own; its coefficients are 0.
        scale = basis.deviations.to(stream.device).clamp(min=1e-12)
        scaled = ((stream.float() - mean) @ matrix / scale).clamp(-65504, 65504).half().cpu()
        counts = batch.sides_of(tower, stream[..., 0].numel()).any(dim=0)  # (rows * tokens,)
        mask = (counts & sinks.ordinary(stream.flatten(0, 1))).view(stream.shape[:2])
        for row, sample in enumerate(batch.samples):
            places = mask[row].nonzero().flatten().cpu()
            into.by_sample[sample] = scaled[row, places].numpy()
            into.positions[sample] = places.numpy().astype(np.int32)

    return read
