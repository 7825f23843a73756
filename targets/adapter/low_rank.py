"""Low-rank updates of a frozen model in folded form, and the way from there to PEFT's names.

The model runs on `W + B A` as one matrix, which on small models is a quarter faster than
running the two side by side; the scaling is 1 throughout (lora_alpha = rank).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel


@dataclass(frozen=True)
class LowRank:
    """B `(out, rank)` and A `(rank, in)` for every adapted weight `(out, in)`, by parameter name.

    The weight of an embedding is adapted as its transpose `(hidden, vocabulary)`, as PEFT does.
    """

    a: dict[str, Tensor]
    b: dict[str, Tensor]
    embedding: str

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Everything trainable, by a name that tells A from B."""
        of_a = {f"{name}.A": tensor for name, tensor in self.a.items()}
        return of_a | {f"{name}.B": tensor for name, tensor in self.b.items()}

    def weights(self, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The adapted weights, differentiable in A and B."""
        return {
            name: base[name] + (self.b[name] @ self.a[name]).T
            if name == self.embedding
            else torch.addmm(base[name], self.b[name], self.a[name])
            for name in self.a
        }


def fresh_low_rank(model: PreTrainedModel, ranks: Mapping[str, int], seed: int) -> LowRank:
    """Untrained updates for the named parameters: A drawn from `seed`, B zero.

    With B = 0 an untrained adapter changes nothing (Hu et al. 2021, section 4.1).
    """
    generator = torch.Generator().manual_seed(seed)
    weights = dict(model.named_parameters())
    embedding = embedding_name(model)
    a, b = {}, {}
    for name in sorted(ranks):
        out, width = weights[name].shape
        if name == embedding:
            out, width = width, out
        rank = min(ranks[name], out, width)
        # Drawn on the CPU, so that a seed gives the same numbers on every machine.
        drawn = torch.randn(rank, width, generator=generator) / width**0.5
        a[name] = drawn.to(model.device).requires_grad_()
        b[name] = torch.zeros(out, rank, device=model.device).requires_grad_()
    return LowRank(a, b, embedding)


def embedding_name(model: PreTrainedModel) -> str:
    """Name of the input embedding's weight."""
    weight = model.get_input_embeddings().weight
    return str(next(name for name, parameter in model.named_parameters() if parameter is weight))


def linear_names(model: PreTrainedModel) -> list[str]:
    """Names of the weights of all linear layers, the head included."""
    return [
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)
    ]


def peft_tensors(adapter: LowRank) -> dict[str, Tensor]:
    """The update under the names that PEFT gives to it."""
    tensors = {}
    for name in adapter.a:
        module = "base_model.model." + name.removesuffix(".weight")
        if name == adapter.embedding:
            names = (f"{module}.lora_embedding_A", f"{module}.lora_embedding_B")
        else:
            names = (f"{module}.lora_A.weight", f"{module}.lora_B.weight")
        tensors[names[0]] = adapter.a[name].detach().cpu().contiguous()
        tensors[names[1]] = adapter.b[name].detach().cpu().contiguous()
    return tensors


def peft_config(adapter: LowRank) -> dict[str, object]:
    """PEFT's own words for it: target modules, the largest rank, ranks that differ from it."""
    ranks = {name.removesuffix(".weight"): int(a.shape[0]) for name, a in adapter.a.items()}
    rank = max(ranks.values())
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in ranks}),
        "rank_pattern": {name: r for name, r in sorted(ranks.items()) if r != rank},
        "alpha_pattern": {name: r for name, r in sorted(ranks.items()) if r != rank},
    }
