"""Muon with AdamW for what is no matrix: the optimiser of everything that Nexus trains.

Matrices of one shape are orthogonalised together in one batched product, which on small models
is most of what the optimiser costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices to a batch `(batch, rows, columns)`, approximately.

    Quintic Newton-Schulz iteration (Jordan et al. 2024, "Muon", with its coefficients): singular
    values end within about 0.7 to 1.2, which serves as well as exactly 1.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.size(-2) > matrices.size(-1)
    x: Tensor = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    nearest: Tensor = x.mT if tall else x
    return nearest


class MuonWithAdamW:
    """Muon on the named matrices, AdamW on every other parameter; one learning rate scales both.

    The update of a matrix is orthogonal and scaled by sqrt(max(1, rows / columns)). State is
    a plain dictionary of tensors, so that a checkpoint can hold it to the bit.
    """

    def __init__(
        self,
        matrices: Mapping[str, Tensor],
        others: Mapping[str, Tensor],
        *,
        momentum: float = 0.95,
        adam_ratio: float = 0.4,
        clip: float = 1.0,
    ) -> None:
        self._groups: dict[tuple[int, ...], list[str]] = {}
        for name, matrix in matrices.items():
            self._groups.setdefault(tuple(matrix.shape), []).append(name)
        self._matrices = dict(matrices)
        self._others = dict(others)
        self._momentum = momentum
        self._adam_ratio = adam_ratio
        self._clip = clip
        self._velocity = {
            shape: torch.zeros(len(names), *shape, device=matrices[names[0]].device)
            for shape, names in self._groups.items()
        }
        values = list(self._others.values())
        # torch refuses an optimiser without parameters, and an adapter is all matrices.
        self._adam = (
            torch.optim.AdamW(values, betas=(0.9, 0.98), weight_decay=0.0) if values else None
        )

    def step(self, learning_rate: float) -> None:
        """One update from the gradients that lie on the parameters; clears them."""
        everything = [*self._matrices.values(), *self._others.values()]
        torch.nn.utils.clip_grad_norm_(everything, self._clip)
        with torch.no_grad():
            for shape, names in self._groups.items():
                self._update(shape, names, learning_rate)
        if self._adam is not None:
            for group in self._adam.param_groups:
                group["lr"] = learning_rate * self._adam_ratio
            self._adam.step()
        for parameter in everything:
            parameter.grad = None

    def _update(self, shape: tuple[int, ...], names: list[str], learning_rate: float) -> None:
        gradient = torch.stack([_gradient(self._matrices[name]) for name in names])
        velocity = self._velocity[shape]
        velocity.lerp_(gradient, 1 - self._momentum)
        direction = orthogonalise(gradient.lerp(velocity, self._momentum))
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        for name, update in zip(names, direction, strict=True):
            self._matrices[name].sub_(update, alpha=learning_rate * scale)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on besides parameters and gradients."""
        adam = self._adam.state_dict() if self._adam is not None else None
        return {"velocity": self._velocity, "adam": adam}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._velocity = {shape: state["velocity"][shape] for shape in self._groups}
        if self._adam is not None:
            self._adam.load_state_dict(state["adam"])


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def learning_rate_at(step: int, steps: int, peak: float, warmup_steps: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (0.05 + 0.95 * 0.5 * (1 + float(torch.cos(torch.tensor(share * torch.pi)))))
