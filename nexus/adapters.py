"""Low-rank adapters in memory: read, merged into a float model, and taken out without a trace.

An adapter is PEFT's LoRA on linear layers and on the embedding. It is merged into a float copy of
the weights and never into quantised ones; the base tensors are kept and put back as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nexus.configuration import parse_lora
from nexus.files import read_file
from nexus.stored_tensors import tensors_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX = "base_model.model."
# PEFT's names of the two factors, for linear layers and for embeddings.
SUFFIXES = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}


@dataclass(frozen=True)
class LowRank:
    """One module's update: `scaling * B @ A`, transposed for an embedding.

    A: (rank, in), B: (out, rank); for an embedding `in` is the vocabulary and `out` the width.
    """

    A: Tensor
    B: Tensor
    scaling: float
    embedding: bool

    def delta(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """What is added to the module's weight, in the shape of that weight."""
        product = self.B.to(device, dtype) @ self.A.to(device, dtype)
        if self.scaling != 1.0:
            product *= self.scaling
        return product.T if self.embedding else product

    def check(self, module: str, weight: tuple[int, ...] | None) -> None:
        """Raise ValueError unless it changes a weight of this shape; None where there is none."""
        if weight is None:
            raise ValueError(f"the adapter changes {module}, which the backbone does not have")
        own = (self.B.shape[0], self.A.shape[1])
        if weight != (own[::-1] if self.embedding else own):
            raise ValueError(
                f"the adapter's update of {module} is from {own[1]} to {own[0]}, the backbone's "
                f"weight has shape {weight}: they are not of one build"
            )


@dataclass(frozen=True)
class Adapter:
    """Updates by module name, as `model.layers.0.self_attn.q_proj`."""

    updates: Mapping[str, LowRank]

    @property
    def parameters(self) -> int:
        return sum(update.A.numel() + update.B.numel() for update in self.updates.values())


def load_adapter(safetensors_path: Path, json_path: Path) -> Adapter:
    """Read PEFT's LoRA tensors and its configuration.

    Raises ValueError where the file holds anything but pairs of LoRA factors.
    """
    return adapter_in(read_file(safetensors_path), read_file(json_path), name=safetensors_path.name)


def adapter_in(weights: bytearray, configuration: bytearray, *, name: str) -> Adapter:
    """The adapter in the bytes of its two files; `name` is what messages call the first.

    Raises ValueError as `load_adapter`.
    """
    config = parse_lora(configuration)
    factors: dict[str, dict[str, Tensor]] = {}
    embeddings: set[str] = set()
    for key, tensor in tensors_in(weights).items():
        suffix = next((suffix for suffix in SUFFIXES if key.endswith(suffix)), None)
        if suffix is None or not key.startswith(PREFIX):
            raise ValueError(f"{name}: {key[:100]!r} is no LoRA factor")
        module = key[len(PREFIX) : -len(suffix)]
        factors.setdefault(module, {})[SUFFIXES[suffix]] = tensor
        if "embedding" in suffix:
            embeddings.add(module)
    updates: dict[str, LowRank] = {}
    for module, pair in sorted(factors.items()):
        shapes = [tuple(pair[factor].shape) for factor in "AB" if factor in pair]
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][0] != shapes[1][1]:
            raise ValueError(f"{name}: {module[:100]} lacks a factor, or they differ")
        scaling = scaling_of(config, module)
        updates[module] = LowRank(pair["A"], pair["B"], scaling, module in embeddings)
    return Adapter(updates)


def scaling_of(config: Mapping[str, Any], module: str) -> float:
    """lora_alpha / r, or / sqrt(r) with rsLoRA, by the patterns that the module's name matches."""
    rank = _by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha) / (float(rank) ** 0.5 if config.get("use_rslora") else float(rank))


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, otherwise: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if _matches(pattern, module):
            return value
    return otherwise


def _matches(pattern: str, module: str) -> bool:
    """Whether PEFT's pattern means the module: it is its name, or the end of its name.

    PEFT takes any regular expression. Those written by it and by the build are plain names; another
    could run for as long as its author wants. Raises ValueError on one.
    """
    name = pattern.removeprefix("^").replace("\\.", ".")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"the pattern {pattern[:100]!r} is not the name of a module")
    return module == name or (not pattern.startswith("^") and module.endswith(f".{name}"))


class AdapterSwitch:
    """Puts one adapter at a time into a float model, and the base weights back.

    Merged weights are kept for adapters used before, up to `keep_bytes`, so that going back to one
    of them changes pointers and computes nothing.
    """

    def __init__(self, model: PreTrainedModel, keep_bytes: int = 1 << 30) -> None:
        self._modules = dict(model.named_modules())
        self._base: dict[str, Tensor] = {}
        self._merged: dict[str, dict[str, Tensor]] = {}
        self._keep_bytes = keep_bytes
        self.active: str | None = None
        _untie(model)

    def use(self, name: str, adapter: Adapter) -> None:
        """Compute with this adapter from now on. Its name stands for its weights."""
        if name == self.active:
            return
        merged = self._merged.get(name)
        if merged is None:
            merged = self._merge(adapter)
            self._keep(name, merged)
        self.remove()
        for module, weight in merged.items():
            self._weight(module).data = weight
        self.active = name

    def remove(self) -> None:
        """Compute with the backbone alone: the very tensors that it was loaded with."""
        for module, weight in self._base.items():
            self._weight(module).data = weight
        self.active = None

    def check(self, adapter: Adapter) -> None:
        """Raise ValueError where the adapter was made for another model."""
        for module, update in adapter.updates.items():
            found = self._modules.get(module)
            update.check(module, None if found is None else tuple(found.weight.shape))

    @torch.no_grad()
    def _merge(self, adapter: Adapter) -> dict[str, Tensor]:
        self.check(adapter)
        merged: dict[str, Tensor] = {}
        for module, update in adapter.updates.items():
            base = self._base.setdefault(module, self._weight(module).data)
            merged[module] = base + update.delta(base.device, base.dtype)
        return merged

    def _keep(self, name: str, merged: dict[str, Tensor]) -> None:
        """Remember merged weights, forgetting the oldest when they outgrow the budget."""
        size = sum(weight.nbytes for weight in merged.values())
        while self._merged and size * (len(self._merged) + 1) > self._keep_bytes:
            del self._merged[next(iter(self._merged))]
        if size <= self._keep_bytes:
            self._merged[name] = merged

    def _weight(self, module: str) -> nn.Parameter:
        weight = self._modules[module].weight
        assert isinstance(weight, nn.Parameter)
        return weight


@contextmanager
def merged(model: PreTrainedModel, adapter: Adapter) -> Iterator[PreTrainedModel]:
    """The model with the adapter merged in, for the length of a `with` block."""
    switch = AdapterSwitch(model, keep_bytes=0)
    switch.use("merged", adapter)
    try:
        yield model
    finally:
        switch.remove()


def _untie(model: PreTrainedModel) -> None:
    """Give the head a parameter of its own over the same storage: adapters differ on the two."""
    head = model.get_output_embeddings()
    if head is not None and head.weight is model.get_input_embeddings().weight:
        head.weight = nn.Parameter(head.weight.data, requires_grad=False)
