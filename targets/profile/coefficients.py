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

from targets.profile.batches import Batch
from targets.profile.reconstruction import Basis
from targets.profile.structure import Structure
from targets.profile.surgery import ReadStream, reading, resumed, run_blocks


@dataclass
class Coefficients:
    """One layer's z = (h - mean) B / deviation, about 1 in size, so that float16 holds it.

    by_sample: sample -> float16 (tokens, k); positions: sample -> int32 (tokens,), where in the
    sample's text each row stands.
    """

    by_sample: dict[int, np.ndarray] = field(default_factory=dict)
    positions: dict[int, np.ndarray] = field(default_factory=dict)

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


@torch.inference_mode()
def coefficients(
    structure: Structure, bases: Mapping[int, Basis], batches: Sequence[Batch], max_bytes: int
) -> dict[int, Coefficients]:
    """Coefficients by key layer, of as many batches as keep the widest layer below `max_bytes`.

    At least one batch is taken. Blocks above the last key layer are passed by.
    """
    found = {layer: Coefficients() for layer in bases}
    widest = max(basis.matrix.shape[1] for basis in bases.values())
    above = range(max(bases) + 1, len(structure.blocks))
    held = 0
    for batch in batches:
        mask = batch.mapped_mask()
        held += 2 * widest * int(mask.sum())
        if held > max_bytes and any(layer.by_sample for layer in found.values()):
            break
        with ExitStack() as stack:
            stack.enter_context(resumed(0, None, above, structure))
            readers = {
                layer: _reader(found[layer], basis, batch, mask) for layer, basis in bases.items()
            }
            stack.enter_context(reading(readers, structure))
            run_blocks(structure, batch.ids)
    return found


def _reader(into: Coefficients, basis: Basis, batch: Batch, mask: Tensor) -> ReadStream:
    matrix = basis.matrix.float().to(batch.ids.device)
    mean = basis.mean.to(batch.ids.device)
    # A direction without variance has no scale of its own; its coefficients are 0.
    scale = basis.deviations.to(batch.ids.device).clamp(min=1e-12)

    def read(stream: Tensor) -> None:
        scaled = ((stream.float() - mean) @ matrix / scale).clamp(-65504, 65504).half().cpu()
        for row, sample in enumerate(batch.samples):
            places = mask[row].nonzero().flatten().cpu()
            into.by_sample[sample] = scaled[row, places].numpy()
            into.positions[sample] = places.numpy().astype(np.int32)

    return read
