"""Coefficients of the residual stream at a profile's key layers, for activation anchors.

z = (h - mean) B / deviation: what the anchors compare with, and all that is kept of a state h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from targets.profile.structure import find_structure
from targets.profile.surgery import reading
from targets.rows import read_json
from targets.training.sequences import Batch

Forward = Callable[[], Tensor]
Coefficients = dict[int, NDArray[np.float16]]
Reader = Callable[[Forward, Batch], tuple[Tensor, Coefficients]]


def coefficient_reader(model: PreTrainedModel, inputs: Mapping[str, Path], rows: int) -> Reader:
    """A way to run the model that also returns coefficients at the answer positions.

    Layer -> (answers, k) float16. Where no row wants any, the model runs as it is. Key layers of an
    encoder are left out: its states stand at positions of the prompt.
    """
    if rows == 0:
        return lambda forward, _batch: (forward(), {})
    profile = inputs["profile"]
    structure = find_structure(model)
    key_layers = [int(layer) for layer in read_json(profile / "profile.json")["key_layers"]]
    layers = [layer for layer in key_layers if layer >= structure.answering.first]
    bases = {layer: _basis(profile / f"layer_{layer}_basis.npz", model) for layer in layers}

    def read(forward: Forward, batch: Batch) -> tuple[Tensor, Coefficients]:
        found: Coefficients = {}

        def keep(layer: int) -> Callable[[Tensor], None]:
            def project(stream: Tensor) -> None:
                states = stream[batch.where[:, 0], batch.where[:, 1]].float()  # (answers, hidden)
                matrix, mean, deviations = bases[layer]
                found[layer] = ((states - mean) @ matrix / deviations).half().cpu().numpy()

            return project

        with reading({layer: keep(layer) for layer in layers}, structure):
            log_probs = forward()
        return log_probs, found

    return read


def _basis(file: Path, model: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Basis (hidden, k), mean (hidden,) and deviations (k,), float32, where the model is."""
    arrays: Any = np.load(file)
    matrix, mean, deviations = (
        torch.from_numpy(arrays[name].astype(np.float32)).to(model.device)
        for name in ("basis", "mean", "deviations")
    )
    return matrix, mean, deviations.clamp(min=1e-6)
